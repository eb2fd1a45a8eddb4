"""What a comparison has found so far: numbers by scenario, domain, column and seed.

A difference between two columns counts only if it is beyond the spread of the seeds: the ranges of their
values over the seeds do not touch. With one seed there is no spread, and nothing can be said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Literal

from huscf_flwr.comparison.costs import Costs, costs_of
from huscf_flwr.comparison.kept import KeptRuns
from huscf_flwr.comparison.plan import Plan
from huscf_flwr.evaluation.domain_scores import LEAST_ACCURACY
from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.run_record import RunRecord, names_of, numbers, part
from huscf_flwr.methods import method_of
from huscf_flwr.metrics import Metric, metric_named

Verdict = Literal["ahead", "behind", "level"]


OWN_MODELS = "own models"
"""Where the scores of classifiers that stay on their clients stand, beside the domains."""

_OF_OWN_MODELS = {
    "accuracy": ("test", "accuracy", "mean"),
    "worst_accuracy": ("test", "accuracy", "worst"),
    "untuned_accuracy": ("test", "untuned_accuracy", "mean"),
    "prototype_accuracy": ("test", "prototype_accuracy", "mean"),
    "uncalibrated_accuracy": ("test", "uncalibrated_accuracy", "mean"),
    "proxy_accuracy": ("test", "proxy_accuracy", "mean"),
    "held_out_accuracy": ("held_out", "accuracy", "mean"),
    "worst_held_out_accuracy": ("held_out", "accuracy", "worst"),
    "untuned_held_out_accuracy": ("held_out", "untuned_accuracy", "mean"),
    "prototype_held_out_accuracy": ("held_out", "prototype_accuracy", "mean"),
    "uncalibrated_held_out_accuracy": ("held_out", "uncalibrated_accuracy", "mean"),
    "proxy_held_out_accuracy": ("held_out", "proxy_accuracy", "mean"),
}
"""By metric: on which images, which score, and which of its statistics over the clients."""


@dataclass(frozen=True)
class Values:
    """One number of several runs, by seed; at least one."""

    by_seed: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return mean(self.by_seed.values())

    @property
    def least(self) -> float:
        """The smallest."""
        return min(self.by_seed.values())

    @property
    def most(self) -> float:
        """The largest."""
        return max(self.by_seed.values())

    def mean_difference(self, other: Values) -> float | None:
        """Return the mean over the seeds that both have of this one's value less the ``other``'s."""
        pairs = [value - other.by_seed[s] for s, value in self.by_seed.items() if s in other.by_seed]
        return mean(pairs) if pairs else None

    def as_json(self) -> dict[str, Any]:
        """Return mean, range, and the values themselves."""
        by_seed = {str(seed): value for seed, value in sorted(self.by_seed.items())}
        return {"mean": self.mean, "least": self.least, "most": self.most, "by_seed": by_seed}


Scores = Mapping[str, Values]
"""By metric."""


@dataclass(frozen=True)
class Column:
    """What is known of one column in one scenario."""

    name: str
    method: str
    records: Mapping[int, RunRecord]
    """Of the runs that are finished, by seed."""
    domains: Mapping[str, Scores]
    clustering: Scores
    costs: Costs | None
    """None as long as no run is finished."""
    learning_rates: tuple[float, ...]
    failures: Mapping[int, str] = field(default_factory=dict)
    """Why runs failed, by seed."""


@dataclass(frozen=True)
class ScenarioResults:
    """All columns of one scenario."""

    name: str
    columns: tuple[Column, ...]

    @property
    def domains(self) -> list[str]:
        """Names of the domains, as the runs have them."""
        return names_of(column.domains for column in self.columns)

    @property
    def has_finished_runs(self) -> bool:
        """Whether any column has one."""
        return any(column.records for column in self.columns)

    def metrics(self, domain: str, asked: Collection[str] = ()) -> list[Metric]:
        """Return what is known of a domain: what is ``asked`` for, or, if nothing is, all but details.

        Where there is one domain only, its classifiers have the same accuracy as among own models, and it is
        told there.
        """
        elsewhere = self._metric_names(OWN_MODELS) if self.domains == [domain, OWN_MODELS] else []
        names = (name for name in self._metric_names(domain) if name not in elsewhere)
        metrics = map(metric_named, names)
        return [metric for metric in metrics if (metric.name in asked if asked else not metric.detail)]

    @property
    def metric_names(self) -> set[str]:
        """Names of all that is known of any domain, and of clusters."""
        return {name for domain in self.domains for name in self._metric_names(domain)} | {"ari"}

    def _metric_names(self, domain: str) -> list[str]:
        return names_of(column.domains.get(domain, {}) for column in self.columns)

    @property
    def has_clusters_to_tell(self) -> bool:
        """Whether clusters can be right or wrong: there is more than one domain."""
        return len(set(self.domains) - {OWN_MODELS}) > 1

    def is_doubtful(self, domain: str, metric: Metric) -> bool:
        """Return whether a metric is what a judge says that is often wrong; a domain has the same for all."""
        of_judge = self.values(domain, "judge_accuracy").values()
        return metric.by_judge and any(values.mean < LEAST_ACCURACY for values in of_judge)

    def values(self, domain: str, metric: str) -> dict[str, Values]:
        """Return the values of one metric by column, of those that have some."""
        found = {column.name: column.domains.get(domain, {}).get(metric) for column in self.columns}
        return {name: values for name, values in found.items() if values is not None}


@dataclass(frozen=True)
class Results:
    """All that a comparison has found so far."""

    name: str
    description: str
    reference: str
    seeds: tuple[int, ...]
    scenarios: tuple[ScenarioResults, ...]


def results_of(plan: Plan, kept: KeptRuns, stale: Collection[str] = ()) -> Results:
    """Put together what is kept of the runs of ``plan``, without what is stale.

    What can be seen to be stale without a look at images is left out in any case; ``stale`` has the names of
    other such runs.
    """
    places = dict.fromkeys(run.scenario for run in plan.runs)
    columns = dict.fromkeys(run.column for run in plan.runs)
    return Results(
        plan.name,
        plan.comparison.description,
        plan.comparison.told_against,
        plan.seeds,
        tuple(
            ScenarioResults(scenario, tuple(_column(plan, kept, scenario, name, stale) for name in columns))
            for scenario in places
        ),
    )


def own_model_scores(scores: Any) -> dict[str, float]:
    """Return the scores of classifiers that stay on their clients, by metric, of a run's ``own_models``."""
    found = {name: known_number(part(scores, *path)) for name, path in _OF_OWN_MODELS.items()}
    return {name: value for name, value in found.items() if value is not None}


def verdict(one: Values, other: Values, metric: Metric) -> Verdict | None:
    """Return how ``one`` does beside ``other``; ``level`` within the spread.

    None if neither way is better, or one of them has a single seed, which has no spread.
    """
    if metric.better is None or min(len(one.by_seed), len(other.by_seed)) < 2:
        return None
    if one.least <= other.most and other.least <= one.most:
        return "level"
    return "ahead" if (one.mean > other.mean) is (metric.better == "higher") else "behind"


def best(values: Mapping[str, Values], metric: Metric) -> set[str]:
    """Return the column with the best mean, and those that cannot be told from it.

    A column with one seed has no spread, and can be told from nothing: it is never among them.
    """
    with_spread = {name: each for name, each in values.items() if len(each.by_seed) > 1}
    if metric.better is None or not with_spread:
        return set()
    choose = max if metric.better == "higher" else min
    first = choose(with_spread, key=lambda name: with_spread[name].mean)
    level = {name for name in with_spread if verdict(values[name], values[first], metric) == "level"}
    return {first} | level


def _column(plan: Plan, kept: KeptRuns, scenario: str, name: str, stale: Collection[str]) -> Column:
    runs = plan.of(scenario, name)
    found = {run.seed: kept.fresh(run) for run in runs if run.name not in stale}
    records = {seed: record for seed, record in found.items() if record is not None}
    failures = {run.seed: kept.failure(run) for run in runs}
    config = runs[0].config
    domains = names_of(record.domains for record in records.values())
    by_domain = {
        domain: _scores({s: r.domains.get(domain) for s, r in records.items()}) for domain in domains
    }
    own = _scores({s: own_model_scores(part(r.summary, "own_models")) for s, r in records.items()})
    return Column(
        name,
        config.method,
        records,
        {**by_domain, **({OWN_MODELS: own} if own else {})},
        _scores({seed: part(record.summary, "clusters") for seed, record in records.items()}),
        costs_of(config, list(records.values())) if records else None,
        method_of(config).learning_rates(config),
        {seed: reason for seed, reason in failures.items() if reason is not None},
    )


def _scores(by_seed: Mapping[int, Any]) -> dict[str, Values]:
    known = {seed: dict(numbers(scores)) for seed, scores in by_seed.items()}
    return {
        name: Values({seed: scores[name] for seed, scores in known.items() if name in scores})
        for name in names_of(known.values())
    }
