"""``huscf compare``: make the runs of a comparison that are missing, and show all of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import names_given
from huscf_flwr.comparison.display import ComparisonInTerminal
from huscf_flwr.comparison.files import write_results
from huscf_flwr.comparison.kept import KeptRuns
from huscf_flwr.comparison.page import PAGE_NAME, write_page
from huscf_flwr.comparison.plan import Plan, PlannedRun, plan_comparison
from huscf_flwr.comparison.results import results_of
from huscf_flwr.comparison.table import comparison_tables, legend
from huscf_flwr.comparison.training import missing_runs, train_runs
from huscf_flwr.conf_files import ConfError, did_you_mean
from huscf_flwr.existing import check_folder
from huscf_flwr.metrics import registered_names
from huscf_flwr.run.terminal import wide_terminal

_WIDTH = 160


def compare_command(
    comparison: Annotated[
        str, typer.Argument(metavar="COMPARISON", help="a name in conf/comparisons, such as demo, or a file")
    ],
    *,
    methods: Annotated[
        str | None, typer.Option("--methods", help="only these columns, such as corrected,fedgan")
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="only so many of its seeds")] = None,
    only: Annotated[str | None, typer.Option("--only", help="only these scenarios")] = None,
    scores: Annotated[
        str | None, typer.Option("--scores", help="only these in the tables, such as tstr_accuracy,fid")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="what decides no result, such as data.root=IMAGES"),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="runs at a time; they share the cores")] = 1,
    results: Annotated[
        Path, typer.Option("--results", help="folder of the small files that are kept of every comparison")
    ] = Path("docs/results"),
    dry: Annotated[bool, typer.Option("--dry", help="make no runs; show what is there")] = False,
) -> None:
    """Train every method on the same scenarios and seeds, and show results, costs and pictures.

    Whatever is finished is kept and never made again, unless it is stale. Ctrl-C stops it, and the same
    command goes on.
    """
    with errors_as_messages(["huscf", "compare"]), ComparisonInTerminal(jobs) as display:
        plan = plan_comparison(comparison, overrides=settings or ())
        asked = plan.asked(
            methods=names_given("--methods", methods), scenarios=names_given("--only", only), seeds=seeds
        )
        kept = KeptRuns(results / plan.name)
        shown = names_given("--scores", scores)
        _check_scores(shown, asked, kept)
        if not dry:
            _check_folders(asked, kept)
        due = missing_runs(asked, kept, display)
        display.begin(asked.runs, due, kept=kept.folder)
        if not dry:
            kept.folder.mkdir(parents=True, exist_ok=True)
            try:
                train_runs(due, kept, jobs=jobs, display=display)
            finally:
                _write(plan, kept, due)
        _show(asked, kept, due, shown)
        if not dry:
            display.note(f"page: {kept.folder / PAGE_NAME}")
        if _failures_told(asked, kept, display, dry=dry):
            raise typer.Exit(1)


def _check_folders(plan: Plan, kept: KeptRuns) -> None:
    """Raise ``UnusableFolderError`` if runs or their results cannot be written: before images are read."""
    check_folder(kept.folder, "the folder of results", "give one that you may write to with --results")
    for output in dict.fromkeys(run.config.output for run in plan.runs):
        check_folder(output, "the folder of runs", "start huscf compare in a folder that you may write to")


def _check_scores(names: Sequence[str], asked: Plan, kept: KeptRuns) -> None:
    """Raise ``ConfError`` for a name that is no score: neither a registered one nor one of a kept run."""
    strange = [name for name in names if name not in registered_names()]
    known = sorted({*registered_names(), *(results_of(asked, kept).metric_names if strange else ())})
    for name in strange:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfError(
                f"--scores names '{name}'{hint}, which is no score: take some of {', '.join(known)}"
            )


def _write(plan: Plan, kept: KeptRuns, due: Sequence[PlannedRun]) -> None:
    """Write files of all that is there and not ``due``, whatever was asked for."""
    found = results_of(plan, kept, [run.name for run in due])
    write_results(kept.folder, found)
    write_page(kept.folder, found)


def _show(asked: Plan, kept: KeptRuns, due: Sequence[PlannedRun], scores: Sequence[str]) -> None:
    console = wide_terminal(_WIDTH)
    found = results_of(asked, kept, [run.name for run in due])
    for table in comparison_tables(found, width=console.width, asked=scores):
        console.print(table)
    for sentence in legend(found, scores):
        console.print(sentence, style="dim")


def _failures_told(asked: Plan, kept: KeptRuns, display: ComparisonInTerminal, *, dry: bool) -> bool:
    reasons = {run: reason for run in asked.runs if (reason := kept.failure(run)) is not None}
    for run, reason in reasons.items():
        display.note(f"{run.name} failed: {reason} (its folder: {run.config.folder})")
    if reasons:
        display.note(f"the same command{' without --dry' if dry else ''} tries again what has failed")
    return bool(reasons)
