"""The report of a run: one HTML file that needs nothing but itself, made from the files of the run's folder.

It can be made while the run goes on, after it died, and again at any time: it reads the folder, and
holds no state. Each section appears where its data exist, whatever the method.
"""

from __future__ import annotations

from pathlib import Path

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.report_charts import charts
from huscf_flwr.evaluation.report_clients import client_table, cut_changes, drop_outs, membership
from huscf_flwr.evaluation.report_page import render_page
from huscf_flwr.evaluation.report_privacy import privacy
from huscf_flwr.evaluation.report_sections import (
    client_scores,
    colours,
    domain_scores,
    key_figures,
    own_models,
    product_samples,
    settings,
    traffic,
)
from huscf_flwr.evaluation.run_record import RunRecord, part, read_run

REPORT_NAME = "report.html"
MOST_CLIENTS = 200
"""Rows that a table of clients has at most; ten thousand would be more than a browser likes."""


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into a run's folder and return its path.

    Missing parts are left out and unknown values are dashes. The file appears complete or not at all.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    page = report_page(read_run(run_folder))
    path = run_folder / REPORT_NAME
    write_atomically(path, page.encode(), durable=False)
    return path


def report_page(record: RunRecord) -> str:
    """Return the report as HTML."""
    solver = record.cuts.get("solver")
    return render_page(
        {
            "name": record.name,
            "method": record.method,
            "finished": record.is_finished,
            "figures": key_figures(record),
            "colours": colours(record),
            "domains": domain_scores(record),
            "client_scores": client_scores(record),
            "own_models": own_models(record),
            "samples": product_samples(record),
            "charts": charts(record),
            "membership": membership(record),
            "solver": None if solver is None else str(solver),
            "latency": known_number(record.cuts.get("latency_s")),
            "wire": part(record.summary, "wire", "reason"),
            "clients": client_table(record),
            "cut_changes": cut_changes(record),
            "drop_outs": drop_outs(record),
            "traffic": traffic(record),
            "privacy": privacy(record),
            "settings": settings(record),
            "most_clients": MOST_CLIENTS,
        }
    )
