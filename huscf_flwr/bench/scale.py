"""One round with more and more virtual clients: what a client costs in time and in memory.

Everything is as in a run of the local engine, the step, clustering, averages, checkpoint, but for the images,
which are noise, and the judges, which are left out. All clients of one point have the same mixture of cuts as
those of any other, and full batches. Every point is measured in a process of its own, since memory that was
once taken is seldom given back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import torch
from matplotlib.figure import Figure

from huscf_flwr.bench.engines import bench_config
from huscf_flwr.bench.memory import peak_bytes
from huscf_flwr.bench.mixed_cuts import MixedCuts
from huscf_flwr.bench.step import mixed_cuts, noise_images
from huscf_flwr.config import RunConfig
from huscf_flwr.data import Domain, Partition, Population
from huscf_flwr.evaluation.figures import save_figure
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.models import ModelSpec, model_spec_of
from huscf_flwr.run.check import CheckedRun
from huscf_flwr.run.display import NoDisplay
from huscf_flwr.run.local import train_locally
from huscf_flwr.session import Channel, Exchange, HostTimer, Parcel
from huscf_flwr.split import EXCHANGES, SplitClient

COUNTS = (8, 16, 32, 64, 128, 256, 512, 1000)
"""Numbers of clients that are measured if no others are asked for."""

_NUMBERS_OF_ADAM = 4
"""A weight, its gradient, and two moments."""


@dataclass(frozen=True)
class ScalePoint:
    """One round of ``clients`` clients."""

    clients: int
    step_seconds: float
    """Of a client's part of a step, that of the bodies included: median over the steps but the first."""
    processor_seconds: float
    """The same in seconds of one core."""
    round_seconds: float
    """From nothing to the end of the round, its checkpoint included."""
    before_seconds: float
    """Of these: until the first frame was sent."""
    after_seconds: float
    """Of these: from the last frame on."""
    peak_memory_bytes: int
    memory_per_client_bytes: float
    """By how much the peak is above what the process took before there were clients."""
    state_per_client_bytes: float
    """Weights, gradients and moments, as the cuts have it."""


def measure_scale(counts: Sequence[int], *, batch_size: int, steps: int, threads: int) -> list[ScalePoint]:
    """Measure a round of ``steps`` steps for each number of clients, one process after the other."""
    return [_in_a_process(count, batch_size, steps, threads) for count in counts]


def plot_scale(points: Sequence[ScalePoint], path: Path) -> None:
    """Write time and memory of a client against the number of clients as a picture."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    clients = [point.clients for point in points]
    for name, seconds in (
        ("elapsed", [point.step_seconds for point in points]),
        ("of one core", [point.processor_seconds for point in points]),
    ):
        left.plot(clients, [1e3 * value for value in seconds], marker="o", label=name)
    for name, size in (
        ("all", [point.memory_per_client_bytes for point in points]),
        ("weights, gradients, moments", [point.state_per_client_bytes for point in points]),
    ):
        right.plot(clients, [value / 1e6 for value in size], marker="o", label=name)
    left.set(ylabel="milliseconds per client and step")
    right.set(ylabel="megabytes per client")
    for axes in (left, right):
        axes.set(xlabel="clients", xscale="log")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    save_figure(figure, path)


def _in_a_process(*numbers: int) -> ScalePoint:
    command = [sys.executable, "-m", __name__, *map(str, numbers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return ScalePoint(**json.loads(done.stdout))


class _StepClock(HostTimer):
    """Remembers when each step began, on the clock and in seconds of cores."""

    def __init__(self) -> None:
        super().__init__()
        self.began: list[tuple[float, float]] = []
        self.ended = 0.0
        self._sent_last: Exchange | None = None

    def send(self, channel: Channel, exchange: Exchange, client: int, parcel: Parcel) -> None:
        if exchange == EXCHANGES[0] and self._sent_last != exchange:
            self.began.append((time.perf_counter(), time.process_time()))
        self._sent_last = exchange
        super().send(channel, exchange, client, parcel)

    def receive(self, channel: Channel, exchange: Exchange) -> tuple[int, Parcel]:
        received = super().receive(channel, exchange)
        self.ended = time.perf_counter()
        return received

    def seconds(self, column: int) -> float:
        """Return the median seconds from one step to the next."""
        return median(after[column] - before[column] for before, after in pairwise(self.began))


def _round(clients: int, batch_size: int, steps: int, threads: int) -> ScalePoint:
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory(prefix="huscf-scale-") as folder:
        config = _config(clients, batch_size, Path(folder))
        spec = model_spec_of(config)
        run = CheckedRun(config, HuSCF, _noise(spec, clients, batch_size * steps), None)
        before = peak_bytes()
        clock, started = _StepClock(), time.perf_counter()
        train_locally(
            run,
            display=NoDisplay(),
            make_method=partial(HuSCF, cut_solver=MixedCuts()),
            make_timer=lambda *_: clock,
            judged=False,
        )
        ended = time.perf_counter()
    peak = peak_bytes()
    return ScalePoint(
        clients=clients,
        step_seconds=clock.seconds(0) / clients,
        processor_seconds=clock.seconds(1) / clients,
        round_seconds=ended - started,
        before_seconds=clock.began[0][0] - started,
        after_seconds=ended - clock.ended,
        peak_memory_bytes=peak,
        memory_per_client_bytes=(peak - before) / clients,
        state_per_client_bytes=_state_bytes(spec, clients) / clients,
    )


def _config(clients: int, batch_size: int, folder: Path) -> RunConfig:
    return bench_config(
        {
            "clients": clients,
            "batch_size": batch_size,
            "rounds": 1,
            "local_epochs": 1,
            "output": folder,
            "evaluation.every": 0,
        }
    )


def _noise(spec: ModelSpec, clients: int, images_each: int) -> Population:
    stream = torch.Generator().manual_seed(0)
    training, test = (noise_images(spec, count, stream) for count in (clients * images_each, spec.classes))
    domain = Domain("noise", spec.classes, training, test)
    shares = np.split(np.arange(clients * images_each), clients)
    parts = tuple(Partition(client, "noise", share) for client, share in enumerate(shares))
    return Population({"noise": domain}, parts)


def _state_bytes(spec: ModelSpec, clients: int) -> int:
    dealt = Counter(mixed_cuts(spec, clients).values())
    numbers = sum(count * _weights_of(SplitClient(0, spec, cut, seed=0)) for cut, count in dealt.items())
    return numbers * _NUMBERS_OF_ADAM * torch.float32.itemsize


def _weights_of(client: SplitClient) -> int:
    parts = client.segments.generator.blocks, client.segments.discriminator.blocks
    return sum(parameter.numel() for part in parts for parameter in part.parameters())


if __name__ == "__main__":
    print(json.dumps(asdict(_round(*map(int, sys.argv[1:])))))
