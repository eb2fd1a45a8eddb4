"""``huscf bench links``: a step over slow and distant links, measured and predicted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from huscf_flwr.bench.engines import CutChoice, bench_config, cuts_of
from huscf_flwr.bench.links import LinkStep, speed_here, time_link
from huscf_flwr.bench.opponent import AUTHORS_MODEL
from huscf_flwr.bench.relay import Link
from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import BatchSize, Format, ModelName, OutputFormat, Width, print_json
from huscf_flwr.config import PRESETS, RunConfig
from huscf_flwr.run.terminal import terminal


def links(
    rates: Annotated[str, typer.Option(help="of the link, each way, in Mbit/s")] = "10,50,100",
    delays: Annotated[str, typer.Option(help="of the link, each way, in milliseconds")] = "5,20,100",
    presets: Annotated[str, typer.Option(help="how numbers cross")] = ",".join(PRESETS),
    own_links: Annotated[
        bool, typer.Option("--own-links", help="one link for each host, not one for all of them")
    ] = False,
    clients: Annotated[int, typer.Option(min=1, help="clients with mixed cuts")] = 2,
    hosts: Annotated[int, typer.Option(min=1, help="processes of the clients")] = 2,
    batch_size: BatchSize = 32,
    model: ModelName = AUTHORS_MODEL,
    width: Width = 0.25,
    repeats: Annotated[int, typer.Option(min=1, help="steps that count, after one that does not")] = 3,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Time real steps over gRPC through a relay with a rate and a delay, beside what is predicted.

    The relay is a process of ours, not the kernel's netem: docs/performance.md has what that leaves out.
    """
    with errors_as_messages():
        wanted = [
            Link(rate, delay, is_shared=not own_links)
            for rate in _numbers(rates, "--rates")
            for delay in _numbers(delays, "--delays", zero=True)
        ]
        if own_links and hosts != clients:
            raise ValueError(
                f"--own-links with {clients} clients on {hosts} hosts: a client's own link needs a host of "
                f"its own; set --hosts {clients}"
            )
        configs = list(_configs(presets, clients, batch_size, model, width))
        cuts = cuts_of(configs[0], CutChoice.MIXED)
        speed = speed_here(configs[0])
        timed = [
            time_link(link, config, cuts, speed, hosts=hosts, repeats=repeats)
            for link in wanted
            for config in configs
        ]
    if output is Format.JSON:
        print_json({"clients": clients, "hosts": hosts, "steps": [asdict(step) for step in timed]})
    else:
        kind = "a link for each of" if own_links else "one link for all of"
        title = f"Seconds of a step: {clients} clients, batch {batch_size}, {kind} {hosts} hosts"
        terminal().print(_table(timed, title))


def _configs(presets: str, clients: int, batch_size: int, model: str, width: float) -> Iterator[RunConfig]:
    for preset in presets.split(","):
        if preset not in PRESETS:
            raise ValueError(f"--presets has '{preset}'; choose of {', '.join(PRESETS)}")
        yield bench_config(
            {
                "clients": clients,
                "batch_size": batch_size,
                "model.spec": model,
                "model.width": width,
                "wire.preset": preset,
                "executor.shared_memory": False,
            }
        )


def _numbers(listed: str, option: str, *, zero: bool = False) -> list[float]:
    try:
        numbers = [float(part) for part in listed.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(number > 0 or (zero and number == 0) for number in numbers):
        least = "from zero" if zero else "above zero"
        raise ValueError(f"{option} is '{listed}'; give numbers {least} with commas, such as 10,50")
    return numbers


def _table(timed: list[LinkStep], title: str) -> Table:
    table = Table(title=title)
    for heading in ("Mbit/s", "ms", "preset", "MB", "measured", "median", "predicted", "link alone", "delay"):
        table.add_column(heading, justify="left" if heading == "preset" else "right")
    for step in timed:
        table.add_row(
            *(f"{step.link.mbit_per_s:g}", f"{step.link.delay_ms:g}", step.preset),
            f"{step.bytes_per_step / 1e6:.2f}",
            *(f"{step.measured_s:.2f}", f"{step.median_s:.2f}"),
            *(f"{step.predicted_s:.2f}", f"{step.link_s:.2f}", f"{step.round_trips_s:.2f}"),
        )
    return table
