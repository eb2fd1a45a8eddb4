"""The harness that judges a simulation: the only part of a run that knows the domains.

It stands outside the method. Nothing that it knows reaches the strategy, and where there is no simulation
there is no harness: what it would have measured is then null.
"""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population
from huscf_flwr.evaluation import (
    DomainScores,
    EvaluationSettings,
    Sampler,
    adjusted_rand_index,
    cluster_of_domain,
    judge_domain,
    judge_quickly,
    load_or_train_judge,
)
from huscf_flwr.models import BlockStates
from huscf_flwr.process import device_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.training.coordinator import Coordinator
from huscf_flwr.training.generators import sampler_of
from huscf_flwr.training.participant import dtype_of

JUDGE_SEED = 0
"""Judges do not depend on the run, so that runs of different seeds are judged alike."""


def evaluation_settings(config: RunConfig) -> EvaluationSettings:
    """Return how many images are drawn for what."""
    section = config.evaluation
    return EvaluationSettings(images=section.images, synthetic_images=section.synthetic_images)


class Harness:
    """Judges the clusters' generators by domain."""

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

    def adjusted_rand_index(self, coordinator: Coordinator) -> float | None:
        """Score the clusters against the true domains: 1.0 if they agree."""
        clients = sorted(coordinator.clusters)
        return adjusted_rand_index(
            [coordinator.clusters[client] for client in clients],
            [self._domain_of[client] for client in clients],
        )

    def judge(
        self, coordinator: Coordinator, *, thoroughly: bool
    ) -> dict[str, dict[str, float | int | None]]:
        """Return the scores of each domain's generator, with the cluster that it is from."""
        judged = {}
        for name, cluster in cluster_of_domain(coordinator.clusters, self._domain_of).items():
            states = self._judged_states(coordinator, name, cluster)
            sampler = sampler_of(
                coordinator.spec, states, dtype_of(self._config), device_of(self._config.compute)
            )
            scores = self._scores(name, sampler, coordinator.round, thoroughly)
            judged[name] = {"cluster": cluster, **scores.as_dict()}
        return judged

    def _judged_states(self, coordinator: Coordinator, domain: str, cluster: int) -> BlockStates:
        if self._config.method.judged == "cluster":
            return coordinator.generator_states(cluster)
        first = min(client for client, name in self._domain_of.items() if name == domain)
        return coordinator.generator_states(coordinator.clusters[first], coordinator.cuts[first])

    def _scores(self, name: str, sampler: Sampler, round_number: int, thoroughly: bool) -> DomainScores:
        stream = torch_stream(self._config.seed, "judging", name, round_number)
        judge = judge_domain if thoroughly else judge_quickly
        return judge(self._domains[name], sampler, self._judges[name], self._settings, stream)
