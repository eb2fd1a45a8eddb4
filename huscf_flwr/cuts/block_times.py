"""Costs of blocks as this machine has them, instead of counted operations.

Blocks differ in how fast their operations go: a first or last block has few channels, and normalisation and
activation count as nothing by the ``exact`` rule. A device that keeps only such blocks is slower than its
profile, which is of the whole model. Here every block is timed on its own, in all passes of a step, and its
seconds are given in operations of a machine with the speed of the whole model.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from huscf_flwr.cuts.costs import Floats, ModelCosts, NetworkCosts
from huscf_flwr.models import NETWORKS, Blocks, ModelSpec, NetworkName, build_blocks
from huscf_flwr.models.optimisers import Adam
from huscf_flwr.seeding import torch_stream

_WARM_UP = 2
_REPETITIONS = 7
_LEARNING_PASSES = {"generator": 1, "discriminator": 2}
_FROZEN_PASSES = {"generator": 0, "discriminator": 1}


@dataclass(frozen=True)
class BlockSeconds:
    """Median seconds of one block for one batch."""

    forward_s: float
    backward_s: float
    """With the gradients of weights and input."""
    frozen_backward_s: float
    """With the gradient of the input only."""
    optimiser_s: float
    """One step of Adam."""


def timed_costs(spec: ModelSpec, batch_size: int, counted: ModelCosts, gflops: float) -> ModelCosts:
    """Return ``counted`` with arithmetic as timed here, as if this machine ran at ``gflops`` throughout.

    Bytes and parameters stay. Clients are charged for the optimiser's step, in their backward pass; the
    server, which makes one for all of them, is not.
    """
    timed = {name: _timed_network(spec, name, batch_size) for name in NETWORKS}
    return ModelCosts(
        *(_in_operations(counted.network(name), name, timed[name], gflops) for name in NETWORKS)
    )


def _in_operations(
    counted: NetworkCosts, network: NetworkName, timed: list[BlockSeconds], gflops: float
) -> NetworkCosts:
    learning, frozen = _LEARNING_PASSES[network], _FROZEN_PASSES[network]
    forward = _array([(learning + frozen) * block.forward_s for block in timed])
    backward = _array([learning * b.backward_s + frozen * b.frozen_backward_s for b in timed])
    optimiser = _array([block.optimiser_s for block in timed])
    return replace(
        counted,
        client_forward_gflop=gflops * forward,
        client_backward_gflop=gflops * (backward + optimiser),
        server_forward_gflop=gflops * forward,
        server_backward_gflop=gflops * backward,
    )


def _timed_network(spec: ModelSpec, network: NetworkName, batch_size: int) -> list[BlockSeconds]:
    """Time one block after the other, again and again: one that runs alone finds its data in the cache."""
    stream = torch_stream(0, "block times", network)
    labels = torch.randint(spec.classes, (batch_size,), generator=stream)
    benches = []
    for index, shape in enumerate(spec.shapes(network)[:-1]):
        inputs = torch.randn(batch_size, *shape, generator=stream)
        benches.append(_Bench(build_blocks(spec, network, [index], seed=0), index, inputs, labels))
    rounds = [[bench.run() for bench in benches] for _ in range(_WARM_UP + _REPETITIONS)]
    return [
        BlockSeconds(*(statistics.median(column) for column in zip(*of_block, strict=True)))
        for of_block in zip(*rounds[_WARM_UP:], strict=True)
    ]


class _Bench:
    """One block with its optimiser and a batch to time it with."""

    def __init__(self, blocks: Blocks, index: int, inputs: Tensor, labels: Tensor) -> None:
        layout = torch.channels_last if inputs.dim() == 4 else torch.contiguous_format
        self._inputs = inputs.contiguous(memory_format=layout)
        self._blocks, self._index, self._labels = blocks, index, labels
        self._adam = Adam(blocks.parameters())

    def run(self) -> tuple[float, float, float, float]:
        """Return the seconds of one pass, in the order of ``BlockSeconds``."""
        forward, backward = _timed_pass(self._blocks, self._index, self._inputs, self._labels)
        started = time.perf_counter()
        self._adam.step()
        self._adam.zero_grad()
        optimiser = time.perf_counter() - started
        self._blocks.requires_grad_(False)
        _, frozen = _timed_pass(self._blocks, self._index, self._inputs, self._labels)
        self._blocks.requires_grad_(True)
        return forward, backward, frozen, optimiser


def _timed_pass(blocks: Blocks, index: int, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    leaf = inputs.detach().requires_grad_()
    started = time.perf_counter()
    outputs = blocks.run([index], leaf, labels)
    computed = time.perf_counter()
    outputs.backward(torch.ones_like(outputs))  # type: ignore[no-untyped-call]
    return computed - started, time.perf_counter() - computed


def _array(seconds: list[float]) -> Floats:
    return torch.tensor(seconds, dtype=torch.float64).numpy()
