"""The body of one network, run for all clients at once.

Block ``b`` runs on the concatenation, in the order of client ids, of all clients whose cut leaves ``b`` to
the server: clients join where their head ends and leave where their tail begins. Batch normalisation in the
body therefore sees all of them together, as in the authors' code (models.py:62-86, 175-202).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.models import Blocks, Cut, ModelSpec, body_indices


@dataclass(frozen=True)
class BodyPass:
    """One forward pass through the body, kept for its way back."""

    inputs: Mapping[int, Tensor]
    """By client: its head's output, a leaf that collects its gradient."""
    outputs: Mapping[int, Tensor]
    """By client: its tail's input."""
    middle: Mapping[int, Tensor]
    """By client: activations of the middle block, detached."""

    def backward(self, gradients: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Send ``gradients`` at the outputs back; return those at the inputs, for the same clients.

        A client without a gradient counts as one whose gradient is zero: its activations stay in the batch
        statistics. Gradients of the weights are added to what the body has gathered, unless it was frozen.
        """
        clients = sorted(gradients)
        torch.autograd.backward(
            [self.outputs[client] for client in clients], [gradients[client] for client in clients]
        )
        return {client: _gradient(self.inputs[client]) for client in clients}


def joined(passes: Iterable[BodyPass]) -> BodyPass:
    """Return the passes of different clients, through bodies of their own, as one."""
    inputs: dict[int, Tensor] = {}
    outputs: dict[int, Tensor] = {}
    middle: dict[int, Tensor] = {}
    for one in passes:
        inputs.update(one.inputs)
        outputs.update(one.outputs)
        middle.update(one.middle)
    return BodyPass(inputs, outputs, middle)


@dataclass
class _Held:
    """A concatenated batch and whose it is."""

    members: tuple[int, ...]
    batch: Tensor

    def parts(self, sizes: Mapping[int, int]) -> dict[int, Tensor]:
        pieces = torch.split(self.batch, [sizes[client] for client in self.members])
        return dict(zip(self.members, pieces, strict=True))


def run_body(
    blocks: Blocks, spec: ModelSpec, cuts: Mapping[int, Cut], inputs: Mapping[int, Tensor]
) -> BodyPass:
    """Run the body for the clients in ``inputs`` (client id to [B_k, *shape at its head's end])."""
    clients = sorted(inputs)
    leaves = {client: inputs[client].detach().requires_grad_() for client in clients}
    spans = {client: body_indices(spec, cuts[client], blocks.network) for client in clients}
    sizes = {client: len(leaf) for client, leaf in leaves.items()}
    current: dict[int, Tensor] = dict(leaves)
    middle: dict[int, Tensor] = {}
    held: _Held | None = None
    for index in _union(spans.values()):
        members = tuple(client for client in clients if index in spans[client])
        held = _regroup(held, members, current, sizes)
        held.batch = blocks.run([index], held.batch)
        if index == spec.network(blocks.network).middle_index:
            middle = _Held(members, held.batch.detach()).parts(sizes)
    if held is not None:
        current.update(held.parts(sizes))
    return BodyPass(leaves, current, middle)


def _regroup(
    held: _Held | None, members: tuple[int, ...], current: dict[int, Tensor], sizes: Mapping[int, int]
) -> _Held:
    """Return the batch of ``members``; it is split and joined again only if a client joins or leaves."""
    if held is not None and held.members == members:
        return held
    if held is not None:
        current.update(held.parts(sizes))
    return _Held(members, _concatenate([current[client] for client in members]))


def _concatenate(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _union(spans: Iterable[range]) -> list[int]:
    return sorted(set().union(*spans))


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad
