"""What a step costs: arithmetic, bytes and memory of every block, by one of two named rules.

``paper`` counts as the authors do, so that their figures can be compared: multiplications and additions
apart, biases, normalisation and activations included, a transposed convolution over its *output* (four
times too much at stride two), no input gradient for a first layer, and the server's share of the
discriminator once although the step passes it three times.

``exact`` counts what is computed: two operations for each multiply-add of the main layers, as
``torch.utils.flop_counter`` does. Element-wise work is left out; it is bound by memory, not arithmetic. The
embedding of the labels is learned, so even a first block computes the gradient of its input. In the third
pass of the discriminator, the generator's, its weights are frozen and only input gradients are computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, assert_never, get_args

import numpy as np
from numpy.typing import NDArray

from huscf_flwr.models import ModelSpec, NetworkName, Shape
from huscf_flwr.models.spec import (
    BlockSpec,
    ConvolutionSpec,
    EnlargedConvolutionSpec,
    LinearSpec,
    ProjectionSpec,
    TransposedConvolutionSpec,
)
from huscf_flwr.session import SentBytes

FlopRule = Literal["paper", "exact"]
FLOP_RULES: tuple[FlopRule, ...] = get_args(FlopRule)

Floats = NDArray[np.float64]

_BYTES_PER_VALUE = 4
_IN_FLOAT32 = SentBytes()

_PAPER_ACTIVATION = {"none": (0, 0), "relu": (1, 2), "leaky_relu": (2, 3), "tanh": (5, 3)}
_PAPER_SIGMOID = (3, 2)
_PAPER_NORMALISATION = (8, 11)


@dataclass(frozen=True)
class BlockCost:
    """Cost of one block for one batch."""

    forward_flop: int
    """One pass forward."""
    backward_flop: int
    """One pass backward with the gradients of weights and input."""
    frozen_backward_flop: int
    """One pass backward with the gradient of the input only."""
    output_bytes: int
    """Its output in 32-bit floats: what crosses if the network is cut behind it."""
    parameters: int
    """Learned numbers."""
    kept_values: int
    """Numbers that a pass forward keeps for its way back: the output of each of its layers."""


def block_costs(
    spec: ModelSpec, network: NetworkName, batch_size: int, rule: FlopRule
) -> tuple[BlockCost, ...]:
    """Return the cost of every block of ``network`` for one batch of ``batch_size`` samples.

    The ``paper`` rule is modelCutter.py:84-174 of the authors' code.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: it must be at least 1")
    shapes = spec.shapes(network)
    blocks = spec.network(network).blocks
    return tuple(
        _block_cost(_Layer(spec, network, index, shapes[index], shapes[index + 1]), batch_size, rule)
        for index in range(len(blocks))
    )


@dataclass(frozen=True)
class NetworkCosts:
    """Cost of one step in one network; arrays [blocks], all passes of the step together."""

    client_forward_gflop: Floats
    client_backward_gflop: Floats
    server_forward_gflop: Floats
    server_backward_gflop: Floats
    forward_bytes: Floats
    """What crosses behind a block on the way forward."""
    backward_bytes: Floats
    """What crosses behind a block on the way back."""
    packed_numbers: Floats
    """Numbers that cross behind a block on either way, each counted as the part of ``packing_ns`` that both
    ends compute for it."""
    parameters: Floats
    kept_bytes: Floats
    """Memory of what a client keeps for its way back."""

    def kept(self, head: int, tail: int) -> NDArray[np.bool_]:
        """Return which blocks [blocks] a client keeps that has so many at each end."""
        places = np.arange(len(self.parameters))
        return (places < head) | (places >= len(places) - tail)

    def total_gflop(self) -> float:
        """Return the arithmetic of a client that runs the whole network."""
        return float(self.client_forward_gflop.sum() + self.client_backward_gflop.sum())


def edges(behind: Floats) -> Floats:
    """Return what crosses if a network is cut before block i, [blocks + 1]; nothing at its own two ends.

    ``behind`` [blocks] is what crosses behind each block, such as ``forward_bytes``.
    """
    return np.concatenate([[0.0], behind[:-1], [0.0]])


@dataclass(frozen=True, kw_only=True)
class DiscriminatorWork:
    """What a step computes of the discriminator, or in its place, in passes over a batch.

    By default fakes and reals to learn, and the fakes once more, its weights frozen, for the generator.
    """

    learning: float = 2.0
    """Passes with the gradients of weights; one that takes longer counts for so many."""
    criticising: float = 1.0
    """Passes with frozen weights."""
    waiting: float = 2.0
    """Passes that are kept for their way back at the same time."""
    kept_gradients: int = 0
    """Gradients of all weights that are in memory at the same time, beside the optimiser's."""
    beside_gflop: float = 0.0
    """Arithmetic of what criticises in its place, half of it forward and half back."""


_USUAL_WORK = DiscriminatorWork()
_ONE_PASS = DiscriminatorWork(learning=1, criticising=0, waiting=1)
"""The generator's."""


@dataclass(frozen=True)
class ModelCosts:
    """Cost of one step of both networks for one client's batch."""

    generator: NetworkCosts
    discriminator: NetworkCosts

    def network(self, name: NetworkName) -> NetworkCosts:
        """Return the costs of the network called ``name``."""
        return self.generator if name == "generator" else self.discriminator


def step_costs(
    spec: ModelSpec,
    batch_size: int,
    rule: FlopRule,
    *,
    sent: SentBytes = _IN_FLOAT32,
    work: DiscriminatorWork = _USUAL_WORK,
) -> ModelCosts:
    """Return what one client's batch costs in one step; numbers that cross take the bytes of ``sent``.

    The generator makes one pass, and the discriminator those of ``work``.
    """
    generator = block_costs(spec, "generator", batch_size, rule)
    discriminator = block_costs(spec, "discriminator", batch_size, rule)
    make = _paper_step if rule == "paper" else _exact_step
    # The fakes that cross once more differ little from what they were.
    crossing = _Crossing(2 * sent.activation + sent.repeated, 3 * sent.gradient, 3 * sent.packing)
    return ModelCosts(
        make(generator, _ONE_PASS, _Crossing(sent.generated, sent.gradient, sent.packing)),
        _with_work_beside(make(discriminator, work, crossing), work),
    )


def _with_work_beside(costs: NetworkCosts, work: DiscriminatorWork) -> NetworkCosts:
    """Return ``costs`` with what the first block's owner, a client, computes beside its blocks."""
    beside = np.zeros_like(costs.parameters)
    beside[0] = work.beside_gflop / 2
    return replace(
        costs,
        client_forward_gflop=costs.client_forward_gflop + beside,
        client_backward_gflop=costs.client_backward_gflop + beside,
    )


@dataclass(frozen=True)
class _Crossing:
    """Bytes of a number in all passes of a step together."""

    forward: float
    backward: float
    packed: float
    """How often a number is packed, in parts of ``packing_ns``."""


def _paper_step(blocks: tuple[BlockCost, ...], work: DiscriminatorWork, crossing: _Crossing) -> NetworkCosts:
    """Charge the clients for all passes and the server for one (quirks 26 and 27).

    CutLayerSelection.py:82, 85 charge the server for the backward pass of block 2 with the cost of block 4.
    Taken further to any depth, a block before the middle costs what its mirror image does.
    """
    forward, backward, _ = _columns(blocks)
    mirrored = backward.copy()
    before_middle = len(blocks) // 2
    passes = work.learning + work.criticising
    mirrored[:before_middle] = backward[::-1][:before_middle]
    return NetworkCosts(
        client_forward_gflop=passes * forward,
        client_backward_gflop=passes * backward,
        server_forward_gflop=forward,
        server_backward_gflop=mirrored,
        **_sizes(blocks, work, crossing),
    )


def _exact_step(blocks: tuple[BlockCost, ...], work: DiscriminatorWork, crossing: _Crossing) -> NetworkCosts:
    forward, backward, frozen = _columns(blocks)
    passes = work.learning + work.criticising
    total_backward = work.learning * backward + work.criticising * frozen
    return NetworkCosts(
        client_forward_gflop=passes * forward,
        client_backward_gflop=total_backward,
        server_forward_gflop=passes * forward,
        server_backward_gflop=total_backward,
        **_sizes(blocks, work, crossing),
    )


def _columns(blocks: tuple[BlockCost, ...]) -> tuple[Floats, Floats, Floats]:
    """Return GFLOP [blocks] of a pass forward, backward, and backward with frozen weights."""
    return (
        _array([block.forward_flop for block in blocks]) / 1e9,
        _array([block.backward_flop for block in blocks]) / 1e9,
        _array([block.frozen_backward_flop for block in blocks]) / 1e9,
    )


def _sizes(blocks: tuple[BlockCost, ...], work: DiscriminatorWork, crossing: _Crossing) -> dict[str, Floats]:
    """Return what both rules agree on."""
    kept = _array([block.kept_values for block in blocks])
    parameters = _array([block.parameters for block in blocks])
    numbers = _array([block.output_bytes for block in blocks]) / _BYTES_PER_VALUE
    return {
        "forward_bytes": crossing.forward * numbers,
        "backward_bytes": crossing.backward * numbers,
        "packed_numbers": crossing.packed * numbers,
        "parameters": parameters,
        "kept_bytes": _BYTES_PER_VALUE * (work.waiting * kept + work.kept_gradients * parameters),
    }


def _array(numbers: list[int]) -> Floats:
    return np.array(numbers, dtype=np.float64)


@dataclass(frozen=True)
class _Layer:
    """A block at its place: spec, shapes, and what depends on the place."""

    model: ModelSpec
    network: NetworkName
    index: int
    input_shape: Shape
    output_shape: Shape

    @property
    def block(self) -> BlockSpec:
        return self.model.network(self.network).blocks[self.index]

    @property
    def is_verdict(self) -> bool:
        """Whether this is the discriminator's last block."""
        return self.network == "discriminator" and self.index == len(self.model.discriminator.blocks) - 1

    @property
    def embedding_features(self) -> int:
        """Numbers that the embedding of one label has."""
        if isinstance(self.block, ProjectionSpec):
            return self.block.embedding
        return math.prod(self.input_shape[1:]) if self.block.conditional else 0

    @property
    def weights_per_output_channel(self) -> int:
        """Inputs that are multiplied into one output number, taken from the output's side."""
        match self.block:
            case ProjectionSpec():
                return self.input_shape[0] + self.block.embedding
            case LinearSpec():
                return math.prod(self.input_shape)
            case ConvolutionSpec():
                return (self.input_shape[0] + int(self.block.label_plane)) * self.block.kernel**2
            case TransposedConvolutionSpec() | EnlargedConvolutionSpec():
                return self.input_shape[0] * self.block.kernel**2
            case _:
                assert_never(self.block)

    @property
    def multiply_adds(self) -> int:
        """True multiply-adds of one sample: a transposed convolution scatters its input."""
        if isinstance(self.block, TransposedConvolutionSpec):
            positions = math.prod(self.input_shape[1:])
            return self.weights_per_output_channel * self.output_shape[0] * positions
        return self.weights_per_output_channel * math.prod(self.output_shape)

    @property
    def enlarged_values(self) -> int:
        """Numbers of one sample's input once it is enlarged, if the block does that."""
        if not isinstance(self.block, EnlargedConvolutionSpec):
            return 0
        return math.prod(self.input_shape) * self.block.factor**2

    @property
    def parameters(self) -> int:
        flat = isinstance(self.block, ProjectionSpec | LinearSpec)
        channels = math.prod(self.output_shape) if flat else self.output_shape[0]
        per_channel = self.weights_per_output_channel + 1 + (2 if self.block.norm != "none" else 0)
        return channels * per_channel + self.model.classes * self.embedding_features


def _block_cost(layer: _Layer, batch_size: int, rule: FlopRule) -> BlockCost:
    outputs = math.prod(layer.output_shape) * batch_size
    if rule == "paper":
        forward, backward, frozen = _paper_flop(layer, batch_size)
    else:
        forward, backward, frozen = _exact_flop(layer, batch_size)
    layers = 1 + int(layer.block.norm != "none") + int(layer.block.activation != "none")
    kept = outputs * layers + layer.enlarged_values * batch_size
    return BlockCost(forward, backward, frozen, outputs * _BYTES_PER_VALUE, layer.parameters, kept)


def _exact_flop(layer: _Layer, batch_size: int) -> tuple[int, int, int]:
    one = 2 * layer.multiply_adds * batch_size
    return one, 2 * one, one


def _paper_flop(layer: _Layer, batch_size: int) -> tuple[int, int, int]:
    """Count in operations on the output; the authors' last layer is the sigmoid, ours is in the loss."""
    outputs = math.prod(layer.output_shape) * batch_size
    main = 2 * layer.weights_per_output_channel * outputs
    element_wise = [_PAPER_ACTIVATION[layer.block.activation]]
    if layer.block.norm != "none":
        element_wise.append(_PAPER_NORMALISATION)
    if layer.is_verdict:
        element_wise.append(_PAPER_SIGMOID)
    forward = main + outputs * (1 + sum(cost for cost, _ in element_wise))
    gradients = 1 if layer.index == 0 else 2
    backward = gradients * main + outputs * (1 + sum(cost for _, cost in element_wise))
    return forward, backward, backward
