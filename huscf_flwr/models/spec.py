"""Specs of the two networks, read from YAML and checked before anything is built.

A network is a list of blocks. A block is the unit of cutting: a main layer with its normalisation and
activation. Its spec computes the output shape from the input shape, so costs and the shapes of frames are
known without building a network.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from huscf_flwr.conf_files import Strict, find_conf, known_confs, read_yaml, validate
from huscf_flwr.config import RunConfig

Shape = tuple[int, ...]
"""Shape of one sample, without the batch: (channels, height, width) or (features,)."""

NetworkName = Literal["generator", "discriminator"]
NETWORKS: tuple[NetworkName, ...] = ("generator", "discriminator")

AUTO = "auto"
"""The ``model.spec`` of networks that follow the data."""

Activation = Literal["relu", "leaky_relu", "tanh", "none"]
Normalisation = Literal["batch", "group", "none"]
"""By statistics of the batch, of groups of channels of each sample (arXiv 1803.08494), or not at all."""


class ImageSpec(Strict):
    """Channels and side length, in pixels, of the square images."""

    channels: PositiveInt
    size: PositiveInt

    @property
    def shape(self) -> Shape:
        """Shape (channels, size, size) of one image."""
        return (self.channels, self.size, self.size)


class _Block(Strict, ABC):
    norm: Normalisation = "none"
    activation: Activation = "none"

    @property
    def conditional(self) -> bool:
        """Whether the block takes the labels; only a first block may."""
        return False

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of one output sample for one input sample of ``input_shape``."""

    def scaled(self, width: float) -> Self:
        """Return the same block with its channels multiplied by ``width``, but at least one channel."""
        channels = getattr(self, "channels", None)
        if not isinstance(channels, int):
            return self
        return self.model_copy(update={"channels": max(1, round(channels * width))})


class ProjectionSpec(_Block):
    """A linear layer from the latent vector and the embedded label, concatenated, to a feature map."""

    kind: Literal["projection"]
    embedding: PositiveInt
    channels: PositiveInt
    size: PositiveInt

    @property
    def conditional(self) -> bool:
        """Whether the block takes the labels: always."""
        return True

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape (channels, size, size), from a latent vector."""
        _require(len(input_shape) == 1, f"a projection takes a vector, not {input_shape}")
        return (self.channels, self.size, self.size)


class ConvolutionSpec(_Block):
    """Convolution; with ``label_plane``, the embedded label is one more channel of its input."""

    kind: Literal["convolution"]
    channels: PositiveInt
    kernel: PositiveInt
    stride: PositiveInt = 1
    padding: int = Field(default=0, ge=0)
    label_plane: bool = False

    @property
    def conditional(self) -> bool:
        """Whether the block takes the labels."""
        return self.label_plane

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape (channels, height, width) after the convolution."""
        _require(len(input_shape) == 3, f"a convolution takes a feature map, not {input_shape}")
        sides = [(side + 2 * self.padding - self.kernel) // self.stride + 1 for side in input_shape[1:]]
        _require(min(sides) >= 1, f"a convolution of kernel {self.kernel} does not fit {input_shape}")
        return (self.channels, *sides)


class TransposedConvolutionSpec(_Block):
    """Transposed convolution."""

    kind: Literal["transposed_convolution"]
    channels: PositiveInt
    kernel: PositiveInt
    stride: PositiveInt = 1
    padding: int = Field(default=0, ge=0)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape (channels, height, width) after the transposed convolution."""
        _require(
            len(input_shape) == 3,
            f"a transposed convolution takes a feature map, not {input_shape}",
        )
        sides = [(side - 1) * self.stride - 2 * self.padding + self.kernel for side in input_shape[1:]]
        _require(min(sides) >= 1, f"padding {self.padding} leaves nothing of {input_shape}")
        return (self.channels, *sides)


class EnlargedConvolutionSpec(_Block):
    """Enlargement by repeating every pixel, then a convolution.

    It draws no checkerboards where a transposed convolution does, whose kernel has weights of its own for
    every place in a block of pixels (Odena, Dumoulin and Olah 2016, doi 10.23915/distill.00003).
    """

    kind: Literal["enlarged_convolution"]
    channels: PositiveInt
    kernel: PositiveInt
    padding: int = Field(default=0, ge=0)
    factor: PositiveInt = 2

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape (channels, height, width) after both."""
        _require(len(input_shape) == 3, f"an enlarged convolution takes a feature map, not {input_shape}")
        sides = [side * self.factor + 2 * self.padding - self.kernel + 1 for side in input_shape[1:]]
        _require(min(sides) >= 1, f"a kernel of {self.kernel} does not fit {input_shape}, enlarged")
        return (self.channels, *sides)


class LinearSpec(_Block):
    """Linear layer on the flattened input."""

    kind: Literal["linear"]
    features: PositiveInt

    def output_shape(self, input_shape: Shape) -> Shape:  # noqa: ARG002 - any shape is flattened
        """Shape (features,)."""
        return (self.features,)


BlockSpec = (
    ProjectionSpec | ConvolutionSpec | TransposedConvolutionSpec | EnlargedConvolutionSpec | LinearSpec
)


class NetworkSpec(Strict):
    """Blocks of one network; ``middle`` counts from one and always runs on the server."""

    middle: PositiveInt
    blocks: tuple[Annotated[BlockSpec, Field(discriminator="kind")], ...]

    @model_validator(mode="after")
    def _check(self) -> NetworkSpec:
        count = len(self.blocks)
        _require(count >= 3, f"a network needs at least 3 blocks, this one has {count}")
        _require(
            1 < self.middle < count,
            f"middle: {self.middle} is not inside the network; choose 2 to {count - 1}",
        )
        for position, block in enumerate(self.blocks[1:], start=2):
            _require(
                not block.conditional,
                f"block {position} takes labels, but labels stay with the client: only block 1 may",
            )
        return self

    @property
    def middle_index(self) -> int:
        """Index of the middle block, from zero."""
        return self.middle - 1

    def shapes(self, input_shape: Shape) -> tuple[Shape, ...]:
        """Return the shapes between blocks: entry ``b`` enters block ``b``, the last entry is the output."""
        shapes = [input_shape]
        for block in self.blocks:
            shapes.append(block.output_shape(shapes[-1]))
        return tuple(shapes)

    def scaled(self, width: float) -> NetworkSpec:
        """Return the network with all channels but those of its last block multiplied by ``width``."""
        inner = tuple(block.scaled(width) for block in self.blocks[:-1])
        return self.model_copy(update={"blocks": (*inner, self.blocks[-1])})


class ModelSpec(Strict):
    """A conditional GAN: the image, the number of classes, and the two networks."""

    name: str
    image: ImageSpec
    classes: PositiveInt
    latent: PositiveInt
    generator: NetworkSpec
    discriminator: NetworkSpec

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        made = self.generator_shapes[-1]
        _require(
            made == self.image.shape,
            f"the generator of {self.name} makes {made}, but image says {self.image.shape}",
        )
        judged = self.discriminator_shapes[-1]
        _require(judged == (1,), f"the discriminator of {self.name} ends in {judged}, not one logit")
        for network in NETWORKS:
            first = self.network(network).blocks[0]
            _require(first.conditional, f"block 1 of the {network} must take the labels")
        return self

    def network(self, name: NetworkName) -> NetworkSpec:
        """Return the spec of the network called ``name``."""
        return self.generator if name == "generator" else self.discriminator

    @property
    def generator_shapes(self) -> tuple[Shape, ...]:
        """Shapes between the generator's blocks, latent vector first, image last."""
        return self.generator.shapes((self.latent,))

    @property
    def discriminator_shapes(self) -> tuple[Shape, ...]:
        """Shapes between the discriminator's blocks, image first, logit last."""
        return self.discriminator.shapes(self.image.shape)

    def shapes(self, network: NetworkName) -> tuple[Shape, ...]:
        """Return the shapes between the blocks of the network called ``network``."""
        return self.generator_shapes if network == "generator" else self.discriminator_shapes

    def scaled(self, width: float) -> ModelSpec:
        """Return the model with the inner channels of both networks multiplied by ``width``."""
        _require(0 < width < math.inf, f"width: {width} is no positive number; take 1 for the whole networks")
        return self.model_copy(
            update={
                "generator": self.generator.scaled(width),
                "discriminator": self.discriminator.scaled(width),
            }
        )

    def with_group_normalisation(self, network: NetworkName) -> ModelSpec:
        """Return the model with group instead of batch normalisation in ``network``.

        No sample of a batch then has any effect on what becomes of another, and nothing of the images is in
        running statistics.
        """
        of_network = self.network(network)
        blocks = tuple(
            block.model_copy(update={"norm": "group"}) if block.norm == "batch" else block
            for block in of_network.blocks
        )
        return self.model_copy(update={network: of_network.model_copy(update={"blocks": blocks})})

    def of_form(self, classes: int | None, channels: int | None) -> ModelSpec:
        """Return the model for another number of classes, or of channels; None keeps it."""
        image = self.image.model_copy(update={"channels": channels or self.image.channels})
        *inner, last = self.generator.blocks
        drawn = last.model_copy(update={"channels": image.channels})
        generator = self.generator.model_copy(update={"blocks": (*inner, drawn)})
        return self.model_copy(
            update={"image": image, "classes": classes or self.classes, "generator": generator}
        )


def load_model_spec(name_or_path: str, width: float = 1.0) -> ModelSpec:
    """Read a model from ``conf/models/<name>.yaml`` or from a path, and multiply its channels by ``width``.

    A file that has not changed since is not read again. Raises ``ValueError``, with the reason, if the file
    does not describe networks that can be cut.
    """
    path = find_conf("models", name_or_path)
    is_now = path.stat()
    return _loaded(path, width, (path.absolute(), is_now.st_mtime_ns, is_now.st_size))


@lru_cache(maxsize=32)
def _loaded(
    path: Path,
    width: float,
    is_now: tuple[Path, int, int],  # noqa: ARG001 - so is another content
) -> ModelSpec:
    return validate(ModelSpec, {"name": path.stem, **read_yaml(path, ModelSpec)}, str(path)).scaled(width)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def model_spec_of(config: RunConfig) -> ModelSpec:
    """Return the networks that a run trains.

    Raises ``ValueError`` if they were to follow data that nobody has looked at.
    """
    model = config.model
    if model.spec == AUTO:
        raise ValueError(
            "model.spec: auto follows the images of a simulation, which are not to be seen here; name the "
            f"networks, such as {', '.join(known_confs('models'))}, and set model.classes and model.channels "
            "if they differ"
        )
    spec = load_model_spec(model.spec, model.width).of_form(model.classes, model.channels)
    # With differential privacy an image must change nothing of what becomes of another one.
    return spec if config.privacy.epsilon is None else spec.with_group_normalisation("discriminator")
