"""What a client takes on this machine: a process of its own, as Flower starts one for every message.

The process imports what a ClientApp imports, connects to a split executor in the process that started it, and
trains a few steps of HuSCF-GAN in lock-step. Its images are noise of one batch, so that the memory of a data
set and the seconds to read it come on top.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import huscf_flwr.flower.client_app  # noqa: F401 - measured: it is what Flower loads
from huscf_flwr.bench.memory import peak_bytes, resident_bytes
from huscf_flwr.bench.mixed_cuts import extreme_cuts
from huscf_flwr.config import ComputeSection
from huscf_flwr.models import Cut, load_model_spec
from huscf_flwr.process import prepare_process
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Ledger, LockStep, run_steps
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel
from huscf_flwr.split import EXCHANGES, Batch, HostedClient, SplitClient, SplitExecutor, noise_batch

_PYTORCH = """
import json, time, torch
from huscf_flwr.bench.memory import resident_bytes
loaded = resident_bytes()
found = {"ready_s": time.time(), "core_s": time.process_time(), "loaded_bytes": loaded, "peak_bytes": loaded}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class MeasuredProcess:
    """A process that trains a client of one cut, or only imports PyTorch."""

    name: str
    """Of the cut, or of what is imported."""
    ready_s: float
    """From its start until it takes the first batch, or until all is imported."""
    core_s: float
    """What its threads computed until then, which says more on a busy machine."""
    loaded_bytes: int
    """Resident when all is imported, and nothing of a client is there yet."""
    peak_bytes: int
    """The most that was resident."""


@dataclass(frozen=True)
class _Order:
    model: str
    width: float
    batch_size: int
    cut: tuple[int, ...]
    address: str
    token: str
    steps: int


def measure_clients(model: str, width: float, batch_size: int, steps: int) -> Iterator[MeasuredProcess]:
    """Yield what a process takes that imports PyTorch, and then a client with each of the extreme cuts.

    One process runs after the other. Raises ``ValueError`` for a model or a width that there cannot be, and
    ``subprocess.CalledProcessError`` if a process fails; what it said stands on the terminal.
    """
    spec = load_model_spec(model, width)
    yield _measured("PyTorch alone", ["-c", _PYTORCH])
    for name, cut in extreme_cuts(spec).items():
        server = ExecutorServer("127.0.0.1:0")
        try:
            session = LockStep(SplitExecutor(spec, {0: cut}, seed=0), [(0,)], ledger=Ledger(), steps=steps)
            (token,) = server.open_session(session)
            order = _Order(model, width, batch_size, tuple(cut), server.address, token, steps)
            yield _measured(name, ["-m", __name__], json.dumps(asdict(order)))
        finally:
            server.stop()


def _measured(name: str, arguments: list[str], given: str = "") -> MeasuredProcess:
    started = time.time()
    command = [sys.executable, *arguments]
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    return MeasuredProcess(name, **{**found, "ready_s": found["ready_s"] - started})


def _be_a_client() -> dict[str, float]:
    order = _Order(**json.load(sys.stdin))
    loaded = resident_bytes()
    spec = load_model_spec(order.model, order.width)
    prepare_process(ComputeSection())
    noise = noise_batch(spec, order.batch_size, torch_stream(0, "batch"))
    ready: list[dict[str, float]] = []

    def batch() -> Batch:
        ready.append({"ready_s": time.time(), "core_s": time.process_time()})
        return noise

    client = HostedClient(SplitClient(0, spec, Cut(*order.cut), seed=0), batch)
    with GrpcChannel(order.address, order.token, exchanges=EXCHANGES) as channel:
        run_steps([client], channel, order.steps)
    return {**ready[0], "loaded_bytes": loaded, "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    print(json.dumps(_be_a_client()))
