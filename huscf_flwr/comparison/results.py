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
from huscf_flwr.comparison.run_scores import OWN_MODELS, bytes_to_target, scores_at_the_end
from huscf_flwr.evaluation.domain_scores import LEAST_ACCURACY
from huscf_flwr.evaluation.formats import byte_count
from huscf_flwr.evaluation.run_record import RunRecord, names_of, numbers, part
from huscf_flwr.methods import method_of
from huscf_flwr.metrics import Metric, metric_named

Verdict = Literal["ahead", "behind", "level"]


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


ABOUT_BYTES_TO_TARGETS = (
    "Bytes to a score: what a client has sent and received when it is first so good, the mean of those runs "
    "in which it is. Rounds after which nobody looked are passed over; what is tuned or calibrated in the "
    "last round is as good as that at the end only."
)


@dataclass(frozen=True)
class BytesToTarget:
    """What a client sends and receives until a score is first as good as a target."""

    by_seed: Mapping[int, float | None]
    """None for a run that never gets there; at least one run."""

    @property
    def reached(self) -> list[float]:
        """The bytes of those runs that get there."""
        return [sent for sent in self.by_seed.values() if sent is not None]

    @property
    def told(self) -> str:
        """The mean as people read it, with how many runs get there, if not all do."""
        runs, reached = len(self.by_seed), len(self.reached)
        if not reached:
            return "never"
        return byte_count(mean(self.reached)) + ("" if reached == runs else f" ({reached} of {runs})")

    def as_json(self) -> dict[str, Any]:
        """Return the mean of those runs that get there, None if none does, and the bytes of each."""
        by_seed = {str(seed): sent for seed, sent in sorted(self.by_seed.items())}
        return {"mean": mean(self.reached) if self.reached else None, "by_seed": by_seed}


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
    bytes_to_targets: Mapping[str, Mapping[str, BytesToTarget]] = field(default_factory=dict)
    """By domain and metric, of what is known of it; empty if images are pooled, or there are no targets."""
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
        of_domains = {name for domain in self.domains for name in self._metric_names(domain)}
        return of_domains | ({"ari"} if self.has_clusters_to_tell else set())

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

    def target_heading(self, domain: str, metric: Metric, target: float) -> str:
        """Return what the bytes until a metric is as good as its target are called."""
        doubt = "?" if self.is_doubtful(domain, metric) else ""
        return f"bytes to {metric.short or metric.title}{doubt} {target:g}"

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
    targets: Mapping[str, float]
    """By metric, how good it should get, which bytes are told to."""
    scenarios: tuple[ScenarioResults, ...]

    @property
    def metric_names(self) -> set[str]:
        """Names of all that is known in any scenario."""
        return {name for scenario in self.scenarios for name in scenario.metric_names}


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
        plan.comparison.targets,
        tuple(
            ScenarioResults(scenario, tuple(_column(plan, kept, scenario, name, stale) for name in columns))
            for scenario in places
        ),
    )


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
    names = names_of(record.domains for record in records.values())
    by_domain = {
        domain: _scores({seed: scores_at_the_end(record, domain) for seed, record in records.items()})
        for domain in (*names, OWN_MODELS)
    }
    domains = {domain: scores for domain, scores in by_domain.items() if scores}
    costs = costs_of(config, list(records.values())) if records else None
    bytes_are_told = costs is not None and costs.bytes_by_client
    return Column(
        name,
        config.method,
        records,
        domains,
        _scores({seed: part(record.summary, "clusters") for seed, record in records.items()}),
        costs,
        method_of(config).learning_rates(config),
        _bytes_to_targets(records, domains, plan.comparison.targets) if bytes_are_told else {},
        {seed: reason for seed, reason in failures.items() if reason is not None},
    )


def _bytes_to_targets(
    records: Mapping[int, RunRecord], domains: Mapping[str, Scores], targets: Mapping[str, float]
) -> dict[str, dict[str, BytesToTarget]]:
    """Return them by domain and metric, of those runs of which the metric is known at the end."""

    def of(domain: str, name: str) -> BytesToTarget:
        target, metric, known = targets[name], metric_named(name), domains[domain][name].by_seed
        return BytesToTarget({seed: bytes_to_target(records[seed], domain, metric, target) for seed in known})

    return {
        domain: {name: of(domain, name) for name in targets if name in scores}
        for domain, scores in domains.items()
    }


def _scores(by_seed: Mapping[int, Any]) -> dict[str, Values]:
    known = {seed: dict(numbers(scores)) for seed, scores in by_seed.items()}
    return {
        name: Values({seed: scores[name] for seed, scores in known.items() if name in scores})
        for name in names_of(known.values())
    }
