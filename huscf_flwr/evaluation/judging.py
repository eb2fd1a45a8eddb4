"""The judge of a simulation: the only part of a run that knows the domains.

It stands outside the method. Nothing that it knows reaches the method, and where there is no simulation there
is no such judge: what it would have measured is then absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population
from huscf_flwr.evaluation.domain_scores import (
    DomainScores,
    EvaluationSettings,
    judge_domain,
    judge_quickly,
)
from huscf_flwr.evaluation.judge import load_or_train_judge
from huscf_flwr.evaluation.own_models import Judged, spread_of
from huscf_flwr.evaluation.scores import adjusted_rand_index
from huscf_flwr.methods.contract import Method
from huscf_flwr.models import Sampler
from huscf_flwr.seeding import torch_stream

JUDGE_SEED = 0
"""Judges do not depend on the run, so that runs of different seeds are judged alike."""


def evaluation_settings(config: RunConfig) -> EvaluationSettings:
    """Return how many images are drawn for what."""
    section = config.evaluation
    return EvaluationSettings(images=section.images, synthetic_images=section.synthetic_images)


class Judging:
    """Judges what a method has to show, whatever the method, by what the scenario says of its clients."""

    def __init__(self, config: RunConfig, population: Population) -> None:
        """Train the judges of all domains, or take them from the cache."""
        self._config = config
        self._domains = population.domains
        self._domain_of = population.domain_of()
        self._judges = {
            name: load_or_train_judge(domain, seed=JUDGE_SEED, cache=config.data.cache)
            for name, domain in population.domains.items()
        }
        self._settings = evaluation_settings(config)

    def clustering(self, method: Method) -> dict[str, float]:
        """Return how well the clusters agree with the true domains: ``ari``; nothing without clusters."""
        clusters = dict(sorted(method.clusters().items()))
        agreement = adjusted_rand_index(
            list(clusters.values()), [self._domain_of.get(client) for client in clusters]
        )
        return {} if agreement is None else {"ari": agreement}

    def domains(self, method: Method, number: int, *, thoroughly: bool) -> dict[str, dict[str, Any]]:
        """Return the scores of each domain after round ``number``, with the product that was judged for it.

        A domain for whose clients there is no product is left out. Raises ``ValueError`` if a product draws
        pixels that are not finite numbers.
        """
        judged = {}
        for name, clients in self._clients_by_domain(method).items():
            product = method.judged_for(clients)
            if product is not None:
                sampler = method.sampler(self._config, product.tensors)
                scores = self._scores(name, sampler, number, thoroughly)
                judged[name] = {"product": product.name, **scores.as_dict()}
        return judged

    def own_models(self, judged: Mapping[int, Mapping[str, Judged]]) -> dict[str, dict[str, Any]]:
        """Return, by domain, the means of what its clients scored on test images, ``judged`` by client id."""
        by_domain: dict[str, dict[int, Mapping[str, Judged]]] = {}
        for client, own in judged.items():
            by_domain.setdefault(self._domain_of[client], {})[client] = own
        return {
            name: {
                "product": "own models",
                **{metric: spread["mean"] for metric, spread in spread_of(own).get("test", {}).items()},
            }
            for name, own in sorted(by_domain.items())
        }

    def _clients_by_domain(self, method: Method) -> dict[str, list[int]]:
        by_domain: dict[str, list[int]] = {}
        for client in sorted(method.clients):
            if client in self._domain_of:
                by_domain.setdefault(self._domain_of[client], []).append(client)
        return dict(sorted(by_domain.items()))

    def _scores(self, name: str, sampler: Sampler, number: int, thoroughly: bool) -> DomainScores:
        stream = torch_stream(self._config.seed, "judging", name, number)
        judge = judge_domain if thoroughly else judge_quickly
        return judge(self._domains[name], sampler, self._judges[name], self._settings, stream)
