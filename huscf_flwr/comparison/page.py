"""The page of a comparison: one HTML file that needs nothing but itself, made from what is kept of runs."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Template

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.comparison.curves import bytes_panel, clusters_panel, points_panel, rounds_panel
from huscf_flwr.comparison.kept import PICTURES
from huscf_flwr.comparison.page_body import BODY
from huscf_flwr.comparison.results import (
    ABOUT_BYTES_TO_TARGETS,
    Column,
    Results,
    ScenarioResults,
    Values,
    best,
    verdict,
)
from huscf_flwr.evaluation.figures import scatter
from huscf_flwr.evaluation.report_charts import Chart, drawn
from huscf_flwr.evaluation.report_page import page_template, render
from huscf_flwr.metrics import Metric, metric_named

PAGE_NAME = "comparison.html"


def write_page(folder: Path, results: Results) -> Path:
    """Write the page into a folder and return its path; it appears complete or not at all."""
    path = folder / PAGE_NAME
    write_atomically(path, comparison_page(results).encode(), durable=False)
    return path


def comparison_page(results: Results) -> str:
    """Return the page as HTML."""
    ari = metric_named("ari")
    scenarios = [_Scenario(results, each) for each in results.scenarios]
    shown = {"results": results, "scenarios": scenarios, "ari": ari, "about_bytes": ABOUT_BYTES_TO_TARGETS}
    return render(_template(), shown)


@cache
def _template() -> Template:
    return page_template("{{ results.name }} · comparison", BODY)


@dataclass(frozen=True)
class _Cell:
    """One number of a table as it is shown."""

    values: Values
    is_best: bool
    beside_reference: str

    @property
    def has_spread(self) -> bool:
        return len(self.values.by_seed) > 1


class _Scenario:
    """What the page shows of one scenario."""

    def __init__(self, results: Results, scenario: ScenarioResults) -> None:
        self.name = scenario.name
        self.columns = scenario.columns
        self.domains = [_Domain(results, scenario, domain) for domain in scenario.domains]
        self.shown = scenario.has_finished_runs
        self.has_memory = any(column.costs and column.costs.memory for column in scenario.columns)
        self.has_clusters_to_tell = scenario.has_clusters_to_tell
        self.is_doubtful = scenario.is_doubtful
        self.target_heading = scenario.target_heading
        self._scenario = scenario

    @property
    def clustering(self) -> list[Chart]:
        """How clusters agree with the true domains, over the rounds."""
        return list(drawn(clusters_panel(self._scenario))) if self.has_clusters_to_tell else []


class _Domain:
    """What the page shows of one domain in one scenario."""

    def __init__(self, results: Results, scenario: ScenarioResults, domain: str) -> None:
        self.name = domain
        self.metrics = scenario.metrics(domain)
        self.targets = [metric for metric in self.metrics if metric.name in results.targets]
        self._results = results
        self._scenario = scenario

    @property
    def rows(self) -> Iterator[tuple[Column, dict[str, _Cell]]]:
        """Each column with its cells by metric."""
        firsts = {metric.name: best(self._values(metric), metric) for metric in self.metrics}
        for column in self._scenario.columns:
            yield (
                column,
                {
                    metric.name: _Cell(
                        values, column.name in firsts[metric.name], self._beside(column, values, metric)
                    )
                    for metric in self.metrics
                    if (values := column.domains.get(self.name, {}).get(metric.name)) is not None
                },
            )

    @property
    def charts(self) -> Iterator[Chart]:
        """Curves over the rounds and over bytes, then quality beside bytes and beside predicted seconds."""
        for metric in self.metrics:
            if "rounds" in metric.shown:
                yield from drawn(rounds_panel(self._scenario, self.name, metric))
                yield from drawn(bytes_panel(self._scenario, self.name, metric))
            if "costs" in metric.shown:
                for quantity in ("bytes", "seconds"):
                    yield from drawn(points_panel(self._scenario, self.name, metric, quantity), scatter)

    @property
    def pictures(self) -> Iterator[tuple[str, str]]:
        """Name of each column with its picture of the first seed that has one, as a data URI."""
        for column in self._scenario.columns:
            for _, record in sorted(column.records.items()):
                path = record.folder / PICTURES / f"{self.name}.png"
                if path.is_file():
                    content = base64.b64encode(path.read_bytes()).decode()
                    yield column.name, f"data:image/png;base64,{content}"
                    break

    def _values(self, metric: Metric) -> Mapping[str, Values]:
        return self._scenario.values(self.name, metric.name)

    def _beside(self, column: Column, values: Values, metric: Metric) -> str:
        reference = self._values(metric).get(self._results.reference)
        if reference is None or column.name == self._results.reference:
            return ""
        said = verdict(values, reference, metric)
        difference = values.mean_difference(reference)
        if said is None or difference is None:
            return ""
        return f"{said}, {difference:+.{metric.digits}f}"
