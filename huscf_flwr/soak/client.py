"""The process of one client: reads rounds from its standard input, one JSON object a line.

It answers each with a line: its losses, when its blocks lie where it was told to put them, or why it is out.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch

from huscf_flwr.models import Cut, flatten_blocks, load_model_spec, unflatten_blocks
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Channel, SessionError, run_steps
from huscf_flwr.session.wire import GrpcChannel, StreamClaim
from huscf_flwr.soak.faults import Fault, FaultyChannel
from huscf_flwr.split import EXCHANGES, HostedClient, SplitClient, noise_batch
from huscf_flwr.tensor_files import read_tensors, write_tensors

MODEL, WIDTH = "authors-28", 0.05
BATCH_SIZE = 8
ANSWER_SECONDS = 600.0
"""Longer than the executor waits for any client: the others must not give up before it does."""


@dataclass(frozen=True)
class SoakRound:
    """A round for one client."""

    address: str
    token: str
    claim: StreamClaim
    cut: Cut
    steps: int
    blocks: Path
    """Where its blocks lie, and are to be put."""
    fault: Fault | None

    def to_line(self) -> str:
        """Return the round as one line."""
        fault = None if self.fault is None else {**asdict(self.fault), "exchange": self.fault.exchange.number}
        return json.dumps({**asdict(self), "blocks": str(self.blocks), "fault": fault}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Read what ``to_line`` wrote."""
        content: dict[str, Any] = json.loads(line)
        claim, fault = content["claim"], content["fault"]
        return cls(
            content["address"],
            content["token"],
            StreamClaim(**{**claim, "clients": tuple(claim["clients"])}),
            Cut(*content["cut"]),
            content["steps"],
            Path(content["blocks"]),
            fault and Fault(**{**fault, "exchange": EXCHANGES[fault["exchange"] - 1]}),
        )


def train(given: SoakRound) -> dict[str, Any]:
    """Train a round; return the answer."""
    (client,) = given.claim.clients
    spec = load_model_spec(MODEL, WIDTH)
    member = SplitClient(client, spec, given.cut, seed=0)
    member.segments.load(unflatten_blocks(read_tensors(given.blocks)))
    stream = torch_stream(0, "soak", client, given.claim.round)
    batch = noise_batch(spec, BATCH_SIZE, stream)
    try:
        with GrpcChannel(
            given.address, given.token, given.claim, exchanges=EXCHANGES, patience=ANSWER_SECONDS
        ) as opened:
            channel: Channel = FaultyChannel(opened, given.fault) if given.fault else opened
            trained = run_steps([HostedClient(member, lambda: batch)], channel, given.steps)
    except SessionError as error:
        return {"left": str(error)}
    if client in trained.drop_outs:
        return {"left": trained.drop_outs[client].reason}
    write_tensors(given.blocks, flatten_blocks(member.segments.states()))
    return {"losses": dict(trained.losses[client])}


def main() -> None:
    """Train rounds until there are no more."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(train(SoakRound.from_line(line))), flush=True)


if __name__ == "__main__":
    main()
