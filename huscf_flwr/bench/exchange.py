"""How long one step's traffic takes without any computation: the channels alone.

Clients and executor send frames of the right shapes that were made beforehand. Over gRPC the clients are a
process of their own, as they would be; the executor is in this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import torch

from huscf_flwr.config import WirePreset
from huscf_flwr.models import Cut, ModelSpec
from huscf_flwr.process import keep_freed_memory
from huscf_flwr.session import (
    Channel,
    Direction,
    Exchange,
    ExecutorStep,
    Frame,
    Ledger,
    LocalChannel,
    LockStep,
    wire_type,
)
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel
from huscf_flwr.split import EXCHANGES, SplitExecutor
from huscf_flwr.split.exchanges import shape_of

CHANNELS = ("local", "shared-memory", "grpc")
_WARM_UP = 1

FramesByExchange = Mapping[Exchange, Mapping[int, Frame]]


@dataclass(frozen=True)
class Traffic:
    """One step's traffic over one channel."""

    channel: str
    preset: WirePreset
    bytes_per_step: int
    seconds: float
    """Median."""
    core_seconds: float
    """Of this process, the mean of the steps that count: of the executor's end, and with the local channel of
    both."""

    @property
    def megabytes_per_second(self) -> float:
        """Both directions together."""
        return self.bytes_per_step / 1e6 / self.seconds


def time_exchange(
    channel: str, spec: ModelSpec, cuts: Mapping[int, Cut], batch_size: int, preset: WirePreset, steps: int
) -> Traffic:
    """Time ``steps`` steps in which all clients of one host exchange their frames, after one to warm up."""
    ledger, core_seconds = Ledger(), [time.process_time()]
    session = LockStep(
        _EchoingExecutor(spec, cuts, batch_size),
        [list(cuts)],
        ledger=ledger,
        steps=_WARM_UP + steps,
        largest_batch=batch_size,
        progress=lambda _: core_seconds.append(time.process_time()),
        wire=wire_type(preset),
    )
    if channel == "local":
        send_steps(LocalChannel(session), spec, cuts, batch_size, _WARM_UP + steps)
    else:
        _send_from_a_process(session, spec, cuts, batch_size, preset, share_memory=channel == "shared-memory")
    return Traffic(
        channel,
        preset,
        ledger.total() // (_WARM_UP + steps),
        median(session.step_seconds[_WARM_UP:]),
        (core_seconds[-1] - core_seconds[_WARM_UP]) / steps,
    )


def send_steps(
    channel: Channel, spec: ModelSpec, cuts: Mapping[int, Cut], batch_size: int, steps: int
) -> None:
    """Exchange the frames of ``steps`` steps."""
    frames = _frames("up", spec, cuts, batch_size)
    for _ in range(steps):
        for exchange in EXCHANGES:
            for client, frame in frames[exchange].items():
                channel.send(exchange, client, frame)
            for _ in cuts:
                channel.receive(exchange)


class _EchoingExecutor(SplitExecutor):
    """An executor that computes nothing."""

    def __init__(self, spec: ModelSpec, cuts: Mapping[int, Cut], batch_size: int) -> None:
        super().__init__(spec, cuts, seed=0)
        self._answers = _frames("down", spec, cuts, batch_size)

    def step(self, number: int) -> ExecutorStep:  # noqa: ARG002 - all steps are alike
        """Answer each exchange."""
        yield {}
        for exchange in EXCHANGES:
            yield dict(self._answers[exchange])


def _send_from_a_process(
    session: LockStep,
    spec: ModelSpec,
    cuts: Mapping[int, Cut],
    batch_size: int,
    preset: WirePreset,
    *,
    share_memory: bool,
) -> None:
    server = ExecutorServer("127.0.0.1:0")
    (token,) = server.open_session(session, share_memory=[0] if share_memory else [])
    order = {
        "address": server.address,
        "token": token,
        "spec": spec.model_dump(mode="json"),
        "cuts": {client: list(cut) for client, cut in cuts.items()},
        "batch_size": batch_size,
        "preset": preset,
        "steps": session.steps,
        "share_memory": share_memory,
    }
    clients = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(order), text=True, check=False
    )
    server.stop()
    if not session.finished:
        raise RuntimeError(f"the clients' process ended with exit code {clients.returncode}")


def _be_the_clients() -> None:
    order = json.load(sys.stdin)
    keep_freed_memory()
    cuts = {int(client): Cut(*cut) for client, cut in order["cuts"].items()}
    wire = wire_type(order["preset"])
    sharing = order["share_memory"]
    with GrpcChannel(
        order["address"], order["token"], exchanges=EXCHANGES, wire=wire, share_memory=sharing
    ) as channel:
        spec = ModelSpec.model_validate(order["spec"])
        send_steps(channel, spec, cuts, order["batch_size"], order["steps"])


def _frames(
    direction: Direction, spec: ModelSpec, cuts: Mapping[int, Cut], batch_size: int
) -> FramesByExchange:
    return {
        exchange: {
            client: tuple(
                _numbers(batch_size, shape_of(kind, spec, cut)) for kind in exchange.kinds(direction)
            )
            for client, cut in cuts.items()
        }
        for exchange in EXCHANGES
    }


def _numbers(batch_size: int, shape: tuple[int, ...]) -> torch.Tensor:
    tensor = torch.randn(batch_size, *shape)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


if __name__ == "__main__":
    _be_the_clients()
