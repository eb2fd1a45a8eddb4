"""Where a network may be cut.

A cut says how many blocks a client keeps at each end of each network. Every number is at least one, because
the first block takes the labels and the loss is computed from the last. None reaches the middle block, which
always runs on the server, so the four numbers are independent of each other.

Or the discriminator is *local*: the client keeps all of it. Its head is then the whole network, and no tail
is left, so that all that follows from a cut (what a client keeps, what the server runs) holds without
exception. All clients of a session have such cuts, or none.
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


def with_local_discriminator(spec: ModelSpec, cut: Cut) -> Cut:
    """Return ``cut`` with the whole discriminator on the client."""
    return cut._replace(discriminator_head=len(spec.discriminator.blocks), discriminator_tail=0)


def has_local_discriminator(spec: ModelSpec, cut: Cut) -> bool:
    """Return whether a client with ``cut`` keeps the whole discriminator."""
    return cut == with_local_discriminator(spec, cut)


def smallest_cut(spec: ModelSpec, *, local_discriminator: bool = False) -> Cut:
    """Return the cut that leaves most to the server."""
    return with_local_discriminator(spec, Cut()) if local_discriminator else Cut()


def largest_cut(spec: ModelSpec, *, local_discriminator: bool = False) -> Cut:
    """Return the cut that leaves only the middle blocks to the server."""
    largest = Cut(
        spec.generator.middle_index,
        len(spec.generator.blocks) - spec.generator.middle,
        spec.discriminator.middle_index,
        len(spec.discriminator.blocks) - spec.discriminator.middle,
    )
    return with_local_discriminator(spec, largest) if local_discriminator else largest


def legal_cuts(spec: ModelSpec, *, local_discriminator: bool = False) -> tuple[Cut, ...]:
    """Return all cuts of the model, from the lightest to the heaviest for the client."""
    least = smallest_cut(spec, local_discriminator=local_discriminator)
    most = largest_cut(spec, local_discriminator=local_discriminator)
    return tuple(Cut(*kept) for kept in product(*map(_up_to, least, most)))


def _up_to(least: int, most: int) -> range:
    return range(least, most + 1)


def check_cut(spec: ModelSpec, cut: Cut) -> None:
    """Raise ``ValueError`` if the model does not allow ``cut``; the message names the number at fault."""
    most_kept = largest_cut(spec, local_discriminator=has_local_discriminator(spec, cut))
    for name, kept, most in zip(Cut._fields, cut, most_kept, strict=True):
        if not min(1, most) <= kept <= most:
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


def body_block_keys(spec: ModelSpec, *, local_discriminator: bool = False) -> tuple[BlockKey, ...]:
    """Return the keys of all blocks that any legal cut leaves to the server: all but first and last.

    None of a local discriminator.
    """
    lightest = smallest_cut(spec, local_discriminator=local_discriminator)
    return tuple(
        (network, index)
        for network, index in all_block_keys(spec)
        if index in body_indices(spec, lightest, network)
    )
