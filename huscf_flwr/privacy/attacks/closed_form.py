"""What goes into the first block of a discriminator, from what comes out of it, without a search.

The block is a convolution of the image and of its label's plane, batch normalisation, and an activation that
can be undone. What is left is linear in the image and in its label, but for two numbers of each channel,
spread and mean over the batch, which nobody sends. They are the same for the whole batch, and the
convolution has far more outputs than an image has pixels: only the right ones leave all outputs where a
convolution of something can be. So they are the solution of one small eigenvalue problem, and each image is
then one of least squares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.models import Blocks, Shape
from huscf_flwr.models.blocks import LEAK
from huscf_flwr.models.spec import ConvolutionSpec

_MOST_ELEMENTS = 2**27
"""Of a matrix: 1 GB, of which a few copies are made."""


@dataclass(frozen=True)
class Reconstruction:
    """What an attack makes of a batch."""

    images: Tensor
    """[B, channels, size, size], from -1 to 1."""
    labels: Tensor
    """[B], int64."""


@dataclass(frozen=True)
class FirstConvolution:
    """The linear part of a first block: from an image and the weights of its labels to all channels."""

    matrix: Tensor
    """[channels * positions, pixels + classes], float64."""
    input_shape: Shape
    classes: int

    @classmethod
    def of(
        cls, kernel: Tensor, planes: Tensor, spec: ConvolutionSpec, input_shape: Shape
    ) -> FirstConvolution:
        """Return the map of a convolution with ``kernel`` [channels, image channels + 1, k, k].

        ``planes`` [classes, height, width] are those that labels add to the image.
        """
        kernel = kernel.double()
        of_image, of_label = kernel[:, : input_shape[0]], kernel[:, input_shape[0] :]
        pixels = torch.eye(math.prod(input_shape), dtype=torch.float64).view(-1, *input_shape)
        columns = [
            functional.conv2d(inputs, part, stride=spec.stride, padding=spec.padding).flatten(1)
            for inputs, part in ((pixels, of_image), (planes.double().unsqueeze(1), of_label))
        ]
        return cls(torch.cat(columns).t(), input_shape, len(planes))

    def invert(self, outputs: Tensor) -> Reconstruction:
        """Return what was mapped to ``outputs`` [B, channels, h, w]."""
        return self._reconstruction(self._inputs_of(outputs.flatten(1)))

    def invert_normalised(self, outputs: Tensor) -> Reconstruction:
        """Return what was mapped to [B, channels, h, w], each channel then normalised over the batch.

        With the spreads s and means m of the channels, each output x is s x + m of the map. What of it is
        outside of the map's range is a quadratic form of (s, m); they are its smallest eigenvector, up to a
        factor, which the weights of the labels give: they sum to one.
        """
        channels = outputs.shape[1]
        found = torch.linalg.eigh(self._form_outside(outputs.flatten(2))).eigenvectors[:, 0]
        spread, mean = (part.view(1, -1, 1, 1) for part in found.split(channels))
        inputs = self._inputs_of((outputs * spread + mean).flatten(1))
        return self._reconstruction(inputs / inputs[:, -self.classes :].sum(1).mean())

    def _form_outside(self, outputs: Tensor) -> Tensor:
        """Return the quadratic form [2 * channels, 2 * channels] of what is outside of the map's range."""
        channels, positions = outputs.shape[1:]
        basis = self._factors[0].view(channels, positions, -1)
        of_means = basis.sum(1)
        form = torch.zeros(2, channels, 2, channels, dtype=outputs.dtype)
        squares, sums = outputs.square().sum((0, 2)), outputs.sum((0, 2))
        whole = ((squares, sums), (sums, torch.full_like(sums, len(outputs) * positions)))
        for row, parts in enumerate(whole):
            for column, part in enumerate(parts):
                form[row, :, column] = part.diag()
        form = form.view(2 * channels, 2 * channels)
        for output in outputs:
            inside = torch.cat((torch.einsum("cp,cpu->cu", output, basis), of_means))
            form -= inside @ inside.t()
        return form

    def _inputs_of(self, outputs: Tensor) -> Tensor:
        """Return [B, pixels + classes] for [B, channels * positions]."""
        basis, triangle = self._factors
        found: Tensor = torch.linalg.solve_triangular(triangle, basis.t() @ outputs.t(), upper=True)
        return found.t()

    @cached_property
    def _factors(self) -> tuple[Tensor, Tensor]:
        """A basis of the map's range, orthonormal columns, and the matrix in it, upper triangular."""
        found = torch.linalg.qr(self.matrix)
        return found.Q, found.R

    def _reconstruction(self, inputs: Tensor) -> Reconstruction:
        images, labels = inputs[:, : -self.classes], inputs[:, -self.classes :]
        return Reconstruction(images.clamp(-1, 1).view(-1, *self.input_shape).float(), labels.argmax(1))


def has_closed_form(head: Blocks, outputs: Tensor, input_shape: Shape) -> bool:
    """Return whether a head of one block can be inverted by its ``outputs`` [B, channels, h, w].

    There must be more of them than an image has pixels and labels, the activation must lose nothing, and the
    matrix must fit into memory.
    """
    first = head.at(0)
    if len(head) > 1 or not isinstance(first.spec, ConvolutionSpec) or not first.spec.label_plane:
        return False
    known, unknown = outputs[0].numel(), math.prod(input_shape) + first.embedding.num_embeddings
    is_undone = first.spec.activation in ("leaky_relu", "none")
    return is_undone and known > unknown and known * unknown <= _MOST_ELEMENTS


def before_activation(outputs: Tensor, spec: ConvolutionSpec) -> Tensor:
    """Return what the block's activation was given, in float64; raises ``ValueError`` if that is lost."""
    outputs = outputs.double()
    if spec.activation == "leaky_relu":
        return torch.where(outputs < 0, outputs / LEAK, outputs)
    if spec.activation == "none":
        return outputs
    raise ValueError(f"the activation {spec.activation} cannot be undone")


def label_planes(state: Mapping[str, Tensor], input_shape: Shape) -> Tensor:
    """Return the planes [classes, height, width] that labels add to the image, by the state of the block."""
    return state["embedding.weight"].view(-1, *input_shape[1:])
