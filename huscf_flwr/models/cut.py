"""Where a network may be cut.

A cut says how many blocks a client keeps at each end of each network. Every number is at least one, because
the first block takes the labels and the loss is computed from the last. None reaches the middle block, which
always runs on the server, so the four numbers are independent of each other.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from huscf_flwr.models.network import BlockKey, all_block_keys
from huscf_flwr.models.spec import ModelSpec, NetworkName


class Cut(NamedTuple):
    """How many blocks a client keeps, counted from one; the authors' (hG, tG, hD, tD) counts from zero."""

    generator_head: int = 1
    generator_tail: int = 1
    discriminator_head: int = 1
    discriminator_tail: int = 1

    def head(self, network: NetworkName) -> int:
        """Return the number of blocks kept at the start of ``network``."""
        return self.generator_head if network == "generator" else self.discriminator_head

    def tail(self, network: NetworkName) -> int:
        """Return the number of blocks kept at the end of ``network``."""
        return self.generator_tail if network == "generator" else self.discriminator_tail


def largest_cut(spec: ModelSpec) -> Cut:
    """Return the cut that leaves only the two middle blocks to the server."""
    return Cut(
        spec.generator.middle_index,
        len(spec.generator.blocks) - spec.generator.middle,
        spec.discriminator.middle_index,
        len(spec.discriminator.blocks) - spec.discriminator.middle,
    )


def legal_cuts(spec: ModelSpec) -> tuple[Cut, ...]:
    """Return all cuts of the model, from the lightest to the heaviest for the client."""
    return tuple(Cut(*kept) for kept in product(*(range(1, most + 1) for most in largest_cut(spec))))


def check_cut(spec: ModelSpec, cut: Cut) -> None:
    """Raise ``ValueError`` if the model does not allow ``cut``; the message names the number at fault."""
    for name, kept, most in zip(Cut._fields, cut, largest_cut(spec), strict=True):
        if not 1 <= kept <= most:
            raise ValueError(
                f"cut {tuple(cut)}: {name} keeps {kept} blocks, but {spec.name} allows 1 to {most}"
            )


def head_indices(cut: Cut, network: NetworkName) -> range:
    """Return the indices of the blocks in the client's head."""
    return range(cut.head(network))


def tail_indices(spec: ModelSpec, cut: Cut, network: NetworkName) -> range:
    """Return the indices of the blocks in the client's tail."""
    count = len(spec.network(network).blocks)
    return range(count - cut.tail(network), count)


def body_indices(spec: ModelSpec, cut: Cut, network: NetworkName) -> range:
    """Return the indices of the blocks that the client leaves to the server."""
    return range(cut.head(network), len(spec.network(network).blocks) - cut.tail(network))


def client_block_keys(spec: ModelSpec, cut: Cut) -> tuple[BlockKey, ...]:
    """Return the keys of the blocks that a client with this cut keeps."""
    return tuple(
        (network, index)
        for network, index in all_block_keys(spec)
        if index not in body_indices(spec, cut, network)
    )


def body_block_keys(spec: ModelSpec) -> tuple[BlockKey, ...]:
    """Return the keys of all blocks that any legal cut leaves to the server: all but first and last."""
    lightest = Cut()
    return tuple(
        (network, index)
        for network, index in all_block_keys(spec)
        if index in body_indices(spec, lightest, network)
    )
