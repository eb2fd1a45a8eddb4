"""The judge of a simulation: the only part of a run that knows the domains.

It stands outside the method. Nothing that it knows reaches the method, and where there is no simulation there
is no such judge: what it would have measured is then absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population
from huscf_flwr.evaluation.domain_scores import (
    JUDGE_SEED,
    DomainScores,
    accuracy_of,
    doubts,
    evaluation_settings,
    judge_domain,
    judge_quickly,
)
from huscf_flwr.evaluation.judge import Judge, load_or_train_judge
from huscf_flwr.evaluation.own_models import GENERATED, TEST, OwnScores, spread_of
from huscf_flwr.evaluation.scores import adjusted_rand_index
from huscf_flwr.methods import method_of
from huscf_flwr.methods.contract import Client, Method, keeps_models
from huscf_flwr.models import Sampler
from huscf_flwr.seeding import torch_stream


class Judging:
    """Judges what a method has to show, whatever the method, by what the scenario says of its clients."""

    def __init__(
        self, config: RunConfig, population: Population, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """Train the judges of all domains, or take them from the cache, if they are sure to be needed.

        To train one takes minutes, so ``tell`` is told of it. One that is often wrong is among the ``notes``.
        """
        self._config = config
        self._domains = population.domains
        self._domain_of = population.domain_of()
        self.notes = population.notes
        self.class_names = {
            name: domain.class_names for name, domain in self._domains.items() if domain.class_names
        }
        self._tell = tell
        self._judges: dict[str, Judge] = {}
        self._settings = evaluation_settings(config)
        if draws_images(method_of(config)):
            for name in self._domains:
                self.notes += doubts(name, accuracy_of(self._judge(name), self._domains[name]))

    def class_names_for(self, clients: Sequence[int]) -> tuple[str, ...]:
        """Return the names by label of the domain that most of ``clients`` have; empty without names."""
        domains = Counter(self._domain_of[client] for client in sorted(clients) if client in self._domain_of)
        return self.class_names.get(domains.most_common(1)[0][0], ()) if domains else ()

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
            products = method.all_judged_for(clients)
            samplers = [method.sampler(self._config, product.tensors) for product in products]
            scores = [self._scores(name, sampler, number, thoroughly).as_dict() for sampler in samplers]
            if scores:
                shown = products[0].name if len(products) == 1 else f"{len(products)} products"
                judged[name] = {"product": shown, **_means(scores)}
        return judged

    def own_models(self, scored: Mapping[int, OwnScores]) -> dict[str, dict[str, Any]]:
        """Return, by domain, the means of its clients' scores, which are ``scored`` by client id.

        Those on held-out images are not among them: they are about one client each, not about the domain.
        """
        by_domain: dict[str, dict[int, OwnScores]] = {}
        for client, own in scored.items():
            by_domain.setdefault(self._domain_of[client], {})[client] = own
        spreads = {name: spread_of(own) for name, own in sorted(by_domain.items())}
        return {
            name: {
                "product": "own models",
                **{
                    metric: spread["mean"]
                    for on in (TEST, GENERATED)
                    for metric, spread in found.get(on, {}).items()
                },
            }
            for name, found in spreads.items()
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
        return judge(self._domains[name], sampler, self._judge(name), self._settings, stream)

    def _judge(self, name: str) -> Judge:
        if name not in self._judges:
            self._judges[name] = load_or_train_judge(
                self._domains[name], seed=JUDGE_SEED, cache=self._config.data.cache, tell=self._tell
            )
        return self._judges[name]


def _means(scores: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the means of scores by name; None for one that was not computed."""
    known = {name: [value for each in scores if (value := each[name]) is not None] for name in scores[0]}
    return {name: mean(values) if values else None for name, values in known.items()}


def draws_images(method: type[Method]) -> bool:
    """Return whether what a method trains is sure to draw images: products, or generators on its clients.

    A method whose clients have classifiers of their own may have products too; that is seen when it has one.
    """
    return not keeps_models(method.client) or method.client.sampler is not Client.sampler
