"""Blocks that change sides when a client's cut changes between two rounds.

A block that a client takes over starts as a copy of the server's, weights and moments: the client goes on
with exactly what the server ran for it. A block that a client gives up needs nothing: its weights went into
the server's copy when the round was averaged, with the client's weight, and its moments stay behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from huscf_flwr.models import BlockStates, Cut, ModelSpec, client_block_keys
from huscf_flwr.split import Segments


@dataclass(frozen=True)
class TakenBlocks:
    """What a client takes over at the start of a round."""

    states: BlockStates = field(default_factory=dict)
    moments: Mapping[str, Tensor] = field(default_factory=dict)
    """As ``Segments.moments`` names them; a block that the server never trained has none."""

    @property
    def byte_count(self) -> int:
        """Bytes of all tensors."""
        tensors = [tensor for state in self.states.values() for tensor in state.values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in [*tensors, *self.moments.values()])


def taken_from(body: Segments, spec: ModelSpec, before: Cut, now: Cut) -> TakenBlocks:
    """Return what a client with the cut ``now`` takes over that had the cut ``before``; live tensors."""
    keys = set(client_block_keys(spec, now)) - set(client_block_keys(spec, before))
    prefixes = tuple(f"{network}.{index}." for network, index in keys)
    return TakenBlocks(
        {key: state for key, state in body.states().items() if key in keys},
        {name: value for name, value in body.moments().items() if name.startswith(prefixes)},
    )


def begin_round(segments: Segments, blocks: BlockStates | None, taken: TakenBlocks) -> None:
    """Load what a client starts a round with: its cluster's blocks, and those that it takes over.

    Without ``blocks`` its weights stay as they are, as in a first round from weights of its own.
    """
    if blocks is not None:
        segments.load({**blocks, **taken.states})
    segments.load_moments(taken.moments)
