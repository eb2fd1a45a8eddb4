"""The same steps on each engine: in one process, over gRPC to other processes, and through Flower.

A step is timed where all engines have the same clock, in the lock-step session. The first steps do not count:
see ``WARM_UP_STEPS``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median

import torch
import yaml

from huscf_flwr.bench.memory import peak_bytes
from huscf_flwr.bench.step import hosted_clients, mixed_cuts, noise_images, random_batches
from huscf_flwr.config import RunConfig, from_run_config, load_config, to_run_config
from huscf_flwr.cuts import deal_devices
from huscf_flwr.data import write_idx_folder
from huscf_flwr.flower.app import app_folder
from huscf_flwr.flower.launch import run_with_flower
from huscf_flwr.methods import resolved
from huscf_flwr.methods.huscf.cut_choice import choose_cuts
from huscf_flwr.models import Cut, ModelSpec, model_spec_of
from huscf_flwr.process import device_of, dtype_of, prepare_process
from huscf_flwr.run.display import NoDisplay
from huscf_flwr.run.metrics_line import WARM_UP_STEPS
from huscf_flwr.run.placement import spread
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.session import Direction, Ledger, LocalChannel, LockStep, run_steps, wire_type_of
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel
from huscf_flwr.split import EXCHANGES, HostedClient, SplitExecutor

_NOISE = "noise"


class Engine(StrEnum):
    """What moves the frames."""

    LOCAL = "local"
    GRPC = "grpc"
    FLOWER = "flower"


class CutChoice(StrEnum):
    """Which cuts the clients have."""

    MIXED = "mixed"
    EXACT = "exact"
    GREEDY = "greedy"
    GENETIC = "genetic"


Reached = Callable[[str], AbstractContextManager[str]]
"""Given an address, the one to come to instead: that of a relay, for as long as it is there."""


@dataclass(frozen=True)
class TimedSteps:
    """What some steps took."""

    seconds: float
    """Median."""
    seconds_min: float
    seconds_max: float
    bytes_per_step: int
    """On the wire, both directions, all clients."""
    peak_memory_bytes: int | None
    """Of all processes together; ``None`` where they are not ours to ask."""


def bench_config(settings: Mapping[str, object]) -> RunConfig:
    """Return the configuration of a benchmark: the demo's with these settings by dotted name."""
    said = [f"{key}={value}" for key, value in settings.items() if value is not None]
    return resolved(load_config("demo", said))


def cuts_of(config: RunConfig, choice: CutChoice) -> dict[int, Cut]:
    """Return the cut of every client: mixed, or what the configured solver chooses."""
    spec = model_spec_of(config)
    if choice is CutChoice.MIXED:
        return mixed_cuts(spec, config.clients)
    return dict(enumerate(choose_cuts(config, spec, deal_devices(config)).cuts))


def time_steps(
    engine: Engine,
    config: RunConfig,
    cuts: Mapping[int, Cut],
    *,
    hosts: int,
    repeats: int,
    warm_up: int = WARM_UP_STEPS,
    reached: Reached = nullcontext,
) -> TimedSteps:
    """Time ``repeats`` steps of ``config`` on ``engine`` with ``hosts`` hosts; locally there is one.

    ``warm_up`` steps before them do not count; over gRPC, hosts come to the executor as it is ``reached``.
    Raises ``ValueError`` if there are more hosts than clients.
    """
    if engine is Engine.FLOWER:
        return _through_flower(config, hosts, repeats)
    prepare_process(config.compute)
    ledger = Ledger()
    session = LockStep(
        SplitExecutor(
            model_spec_of(config),
            cuts,
            seed=config.seed,
            dtype=dtype_of(config),
            device=device_of(config.compute),
        ),
        spread(sorted(cuts), hosts if engine is Engine.GRPC else 1),
        ledger=ledger,
        steps=warm_up + repeats,
        largest_batch=config.batch_size,
        wire=wire_type_of(config, 1),
    )
    if engine is Engine.LOCAL:
        run_steps(_hosted(config, cuts), LocalChannel(session), session.steps)
        peaks = [peak_bytes()]
    else:
        peaks = [*_in_processes(session, config, cuts, reached), peak_bytes()]
    counted = session.step_seconds[warm_up:]
    return TimedSteps(
        median(counted), min(counted), max(counted), ledger.total() // session.steps, sum(peaks)
    )


def _in_processes(
    session: LockStep, config: RunConfig, cuts: Mapping[int, Cut], reached: Reached
) -> list[int]:
    """Run the steps with a process for each host; return their peaks in bytes."""
    server = ExecutorServer("127.0.0.1:0")
    share_memory = range(len(session.hosts)) if config.executor.shared_memory else ()
    tokens = server.open_session(session, share_memory=share_memory)
    threads = max(1, torch.get_num_threads() // len(session.hosts))
    try:
        with reached(server.address) as address, ThreadPoolExecutor(len(tokens)) as pool:
            orders = [
                {
                    "address": address,
                    "token": token,
                    "config": to_run_config(config),
                    "cuts": {client: list(cuts[client]) for client in clients},
                    "steps": session.steps,
                    "threads": threads,
                }
                for clients, token in zip(session.hosts, tokens, strict=True)
            ]
            return list(pool.map(_host_process, orders))
    finally:
        server.stop()


def _host_process(order: Mapping[str, object]) -> int:
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout)


def _be_a_host() -> int:
    order = json.load(sys.stdin)
    config = resolved(from_run_config(order["config"]))
    prepare_process(config.compute, order["threads"])
    cuts = {int(client): Cut(*cut) for client, cut in order["cuts"].items()}
    with GrpcChannel(
        order["address"],
        order["token"],
        exchanges=EXCHANGES,
        wire=wire_type_of(config, 1),
        share_memory=config.executor.shared_memory,
    ) as channel:
        run_steps(_hosted(config, cuts), channel, order["steps"])
    return peak_bytes()


def _hosted(config: RunConfig, cuts: Mapping[int, Cut]) -> list[HostedClient]:
    spec = model_spec_of(config)
    batches = random_batches(spec, config.clients, config.batch_size)
    return hosted_clients(spec, cuts, batches, dtype_of(config), device_of(config.compute), config.seed)


def _through_flower(config: RunConfig, hosts: int, repeats: int) -> TimedSteps:
    """Time a run of one round: as many steps, on as many images of noise as they need.

    Its folder is removed, but not if the run fails: the error names the log there.
    """
    folder = Path(tempfile.mkdtemp(prefix="huscf-bench-"))
    images = (WARM_UP_STEPS + repeats) * config.batch_size * config.clients
    _write_noise(folder, model_spec_of(config), images)
    data = config.data.model_copy(
        update={"scenario": str(folder / "scenario.yaml"), "root": folder, "domains": None}
    )
    run = config.model_copy(update={"data": data, "output": folder, "min_hosts": hosts})
    run_with_flower(run, app_folder(), supernodes=hosts, display=NoDisplay())
    (line,) = read_metrics(run.folder)
    shutil.rmtree(folder)
    ways: tuple[Direction, ...] = ("up", "down")
    crossed = sum(
        line["bytes"][way].get(name, 0)
        for way in ways
        for name in {kind.name for exchange in EXCHANGES for kind in exchange.kinds(way)}
    )
    seconds = line["step_seconds"]["after_warm_up"]
    return TimedSteps(seconds["median"], seconds["least"], seconds["most"], crossed // line["steps"], None)


def _write_noise(folder: Path, spec: ModelSpec, count: int) -> None:
    """Write a domain of noise in MNIST's file format, and the scenario that deals all of it evenly."""
    stream = torch.Generator().manual_seed(0)
    training, test = (noise_images(spec, number, stream) for number in (count, 10 * spec.classes))
    write_idx_folder(folder / _NOISE, training, test)
    scenario = {"description": "noise", "domains": [_NOISE], "labels": {"kind": "all"}, "cap_total": None}
    (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario), "utf-8")


if __name__ == "__main__":
    print(_be_a_host())
