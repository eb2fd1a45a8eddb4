"""The results of a comparison as ``comparison.json`` and ``comparison.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.comparison.results import Column, Results, ScenarioResults, best, verdict
from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.metrics import metric_named
from huscf_flwr.tensor_files import write_json

_FIELDS = ("scenario", "domain", "column", "method", "metric", "seed", "value")


def write_results(folder: Path, results: Results) -> None:
    """Write both files; the CSV has a line for every score of every run, and for every number of costs.

    Costs are of a column, means over its runs, and have no seed.
    """
    write_json(folder / "comparison.json", as_json(results))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FIELDS)
    writer.writerows(_lines(results))
    write_atomically(folder / "comparison.csv", text.getvalue().encode())


def as_json(results: Results) -> dict[str, Any]:
    """Return everything that is known, in plain values."""
    return {
        "name": results.name,
        "description": results.description,
        "seeds": list(results.seeds),
        "reference": results.reference,
        "targets": dict(results.targets),
        "scenarios": {
            scenario.name: {
                "best": {
                    domain: {
                        metric.name: sorted(best(scenario.values(domain, metric.name), metric))
                        for metric in scenario.metrics(domain)
                    }
                    for domain in scenario.domains
                },
                "methods": {column.name: _column(results, scenario, column) for column in scenario.columns},
            }
            for scenario in results.scenarios
        },
    }


def _column(results: Results, scenario: ScenarioResults, column: Column) -> dict[str, Any]:
    reference = next((each for each in scenario.columns if each.name == results.reference), None)
    return {
        "method": column.method,
        "learning_rates": list(column.learning_rates),
        "domains": {
            domain: {
                name: values.as_json() | _against(reference, column, domain, name)
                for name, values in scores.items()
            }
            for domain, scores in column.domains.items()
        },
        "clustering": {name: values.as_json() for name, values in column.clustering.items()},
        "bytes_to_targets": {
            domain: {name: sent.as_json() for name, sent in by_metric.items()}
            for domain, by_metric in column.bytes_to_targets.items()
        },
        "costs": None if column.costs is None else column.costs.as_json(),
        "failures": {str(seed): reason for seed, reason in column.failures.items()},
    }


def _against(reference: Column | None, column: Column, domain: str, metric: str) -> dict[str, Any]:
    """Return how a number does beside the reference's: the mean difference of pairs by seed, and in words."""
    own = column.domains[domain][metric]
    other = None if reference is None else reference.domains.get(domain, {}).get(metric)
    if other is None or column is reference:
        return {}
    return {
        "difference_to_reference": own.mean_difference(other),
        "beside_reference": verdict(own, other, metric_named(metric)),
    }


def _lines(results: Results) -> Iterator[tuple[object, ...]]:
    for scenario in results.scenarios:
        for column in scenario.columns:
            named = (column.name, column.method)
            for domain, scores in [*column.domains.items(), ("", column.clustering)]:
                for metric, values in scores.items():
                    for seed, value in sorted(values.by_seed.items()):
                        yield scenario.name, domain, *named, metric, seed, value
            for cost, value in _numbers({} if column.costs is None else column.costs.as_json()):
                yield scenario.name, "", *named, cost, "", value


def _numbers(values: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, float]]:
    """Yield all known numbers of an object by dotted name, those of objects in it too."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{within}{name}.")
        elif (number := known_number(value)) is not None:
            yield f"{within}{name}", number
