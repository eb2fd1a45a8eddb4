"""A4: a discriminator's head whose weights the server chose so that it copies its input.

Each block's kernels have a single one, so that each channel holds one pixel of every few of the image: a head
of any depth then loses nothing, as long as it has room for all pixels. Batch normalisation still hides two
numbers of each channel. So the embedding of each label, which is added to the image, is made a pattern of two
values: the darkest pixels beside either value are black, and tell both numbers. The pattern tells the label.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.models import Blocks, Shape
from huscf_flwr.models.blocks import Block
from huscf_flwr.models.spec import ConvolutionSpec
from huscf_flwr.privacy.attacks.closed_form import Reconstruction, before_activation
from huscf_flwr.seeding import torch_stream

_HEIGHT = 2.0
"""Of the pattern, each way from zero: as much as pixels have from black to white."""
_LIFT = 8.0
"""Spreads by which channels are lifted, so that no activation bends them."""


def has_room(head: Blocks, input_shape: Shape) -> bool:
    """Return whether a trap of the shape of ``head`` can hold images of ``input_shape``, and their labels.

    Blocks must be convolutions with a stride and padding that allow it and without group normalisation, and
    a label must have a pattern of its own.
    """
    specs = [head.at(index).spec for index in range(len(head))]
    carried, reach = input_shape[0], 1
    for spec in specs:
        if not isinstance(spec, ConvolutionSpec) or spec.norm == "group" or spec.activation == "tanh":
            return False
        carried, reach = carried * spec.stride**2, reach * spec.stride
        if spec.padding + spec.stride > spec.kernel or carried + 1 > spec.channels:
            return False
    first = specs[0]
    assert isinstance(first, ConvolutionSpec)
    cells = math.prod(side // reach for side in input_shape[1:])
    fits = all(side % reach == 0 for side in input_shape[1:])
    return first.label_plane and fits and 2**cells > head.at(0).embedding.num_embeddings ** 2


def trap(head: Blocks, input_shape: Shape) -> list[dict[str, Tensor]]:
    """Return the states of a trap, one of each block of ``head``; raises ``ValueError`` without room."""
    if not has_room(head, input_shape):
        raise ValueError(f"a head of {len(head)} blocks has no room for a trap for images of {input_shape}")
    states, carried = [], input_shape[0]
    for index, stride in enumerate(_strides(head)):
        states.append(_copying_state(head.at(index), carried))
        carried *= stride**2
    planes = _patterns(head, input_shape).float()
    for side in (1, 2):
        planes = planes.repeat_interleave(_reach(head), side)
    states[0]["embedding.weight"] = _HEIGHT * planes.flatten(1)
    return states


def spring(head: Blocks, outputs: Tensor, input_shape: Shape) -> Reconstruction:
    """Return what a trap of the shape of ``head`` was given, by its ``outputs`` [B, channels, h, w]."""
    last = head.at(len(head) - 1).spec
    assert isinstance(last, ConvolutionSpec)
    copied = outputs.double() if last.activation == "relu" else before_activation(outputs, last)
    carried = input_shape[0] * _reach(head) ** 2
    patterns = _patterns(head, input_shape)
    labels = _labels(copied[:, carried], patterns)
    heights = _HEIGHT * patterns[labels].unsqueeze(1)
    pixels = _calibrated(copied[:, :carried], heights.expand(-1, carried, -1, -1))
    for stride in reversed(_strides(head)):
        pixels = functional.pixel_shuffle(pixels, stride)
    return Reconstruction(pixels.clamp(-1, 1).float(), labels)


def _strides(head: Blocks) -> list[int]:
    specs = [head.at(index).spec for index in range(len(head))]
    return [spec.stride for spec in specs if isinstance(spec, ConvolutionSpec)]


def _reach(head: Blocks) -> int:
    """Return how many pixels lie between two of one channel."""
    return math.prod(_strides(head))


def _copying_state(block: Block, carried: int) -> dict[str, Tensor]:
    """Return the state of a block that copies ``carried`` channels of its input, and lifts them."""
    state = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    state["main.weight"] = _copying(block, carried)
    lifted = "norm.bias" if "norm.bias" in state else "main.bias"
    state[lifted] = torch.full_like(state[lifted], _LIFT)
    if "norm.weight" in state:
        state["norm.weight"] = torch.ones_like(state["norm.weight"])
    return state


def _copying(block: Block, carried: int) -> Tensor:
    """Return the kernels [channels, inputs, k, k] that copy ``carried`` channels, and the pattern after them.

    Where the image joins its label's plane, each of its channels gets the pattern added.
    """
    spec = block.spec
    assert isinstance(spec, ConvolutionSpec)
    kernels = torch.zeros_like(block.state_dict()["main.weight"])
    stride = spec.stride
    for channel in range(carried):
        for place in range(stride**2):
            y, x = spec.padding + place // stride, spec.padding + place % stride
            kernels[channel * stride**2 + place, channel, y, x] = 1
            if spec.label_plane:
                kernels[channel * stride**2 + place, carried, y, x] = 1
    kernels[carried * stride**2, carried, spec.padding, spec.padding] = 1
    return kernels


def _patterns(head: Blocks, input_shape: Shape) -> Tensor:
    """Return a pattern of ones and minus ones for each label, [classes, h, w] as the trap's outputs."""
    sides = [side // _reach(head) for side in input_shape[1:]]
    classes = head.at(0).embedding.num_embeddings
    drawn = torch.rand(classes, *sides, generator=torch_stream(0, "trap")) < 0.5
    return torch.where(drawn, 1.0, -1.0).double()


def _labels(plane: Tensor, patterns: Tensor) -> Tensor:
    """Return the labels [B] whose pattern is most like what is left of it, [B, h, w]."""
    centred = (plane - plane.mean()).flatten(1)
    return (centred @ patterns.flatten(1).t()).argmax(1)


def _calibrated(copied: Tensor, heights: Tensor) -> Tensor:
    """Return pixels [B, channels, h, w] from -1 to 1, each channel of which was scaled and shifted.

    ``heights``, as large, were added to them before.
    """
    wide = copied.transpose(0, 1).flatten(1)
    up = heights.transpose(0, 1).flatten(1) > 0
    above, below = (wide.masked_fill(~side, torch.inf).amin(1) for side in (up, ~up))
    spread = (above - below) / (2 * _HEIGHT)
    scaled = (copied - below.view(1, -1, 1, 1)) / spread.view(1, -1, 1, 1)
    # The darkest pixel is -1, and had the lower height added to it.
    return scaled - 1 - _HEIGHT - heights
