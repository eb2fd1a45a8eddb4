"""What a whole step of one client would take on encrypted numbers, from what one convolution takes.

The client has the lightest cut. Each weight of a body's block is multiplied with a ciphertext that has one
channel of as many samples as it has room for; so a pass takes

    weights x ceil(batch size x places / slots)

products, where the places are those that the kernel is laid on. In a step the generator's body is passed once
each way and the discriminator's three times each way. Numbers that cross fill their ciphertexts to the last
slot.

In this packing it is the least that it can be: rotations, encryption, normalisations and activations are
free, and so are gradients of weights, which are products of two ciphertexts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from huscf_flwr.bench.homomorphic import EncryptedConvolution
from huscf_flwr.models import Cut, ModelSpec, NetworkName, Shape, body_indices, build_network
from huscf_flwr.models.spec import BlockSpec, LinearSpec, TransposedConvolutionSpec
from huscf_flwr.split import EXCHANGES
from huscf_flwr.split.exchanges import shape_of

_LIGHTEST = Cut()
_PASSES: dict[NetworkName, int] = {"generator": 2, "discriminator": 6}
"""Forward and backward together: the discriminator learns from fakes and reals, then judges fakes again."""


@dataclass(frozen=True)
class EncryptedStep:
    """One step of one client with the lightest cut, encrypted and plain."""

    batch_size: int
    discriminator_products: int
    """Of one pass through the discriminator's body."""
    products: int
    """Of the whole step."""
    discriminator_seconds: float
    """Of one pass through the discriminator's body: products alone, on one core."""
    seconds: float
    """Of the whole step's products."""
    float32_up_bytes: int
    float32_down_bytes: int
    up_bytes: int
    down_bytes: int


def encrypted_step(spec: ModelSpec, batch_size: int, measured: EncryptedConvolution) -> EncryptedStep:
    """Return what a step takes in which each product takes what it took in ``measured``.

    Raises ``ValueError`` if ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch size: {batch_size}, but a step takes at least 1 image")
    a_pass = {name: products_of_pass(spec, name, batch_size, measured.slots) for name in _PASSES}
    products = sum(passes * a_pass[name] for name, passes in _PASSES.items())
    up, down = (4 * batch_size * _numbers(spec, direction) for direction in ("up", "down"))
    return EncryptedStep(
        batch_size=batch_size,
        discriminator_products=a_pass["discriminator"],
        products=products,
        discriminator_seconds=a_pass["discriminator"] * measured.product_seconds,
        seconds=products * measured.product_seconds,
        float32_up_bytes=up,
        float32_down_bytes=down,
        up_bytes=round(up * measured.times_up),
        down_bytes=round(down * measured.times_down),
    )


def products_of_pass(spec: ModelSpec, network: NetworkName, batch_size: int, slots: int) -> int:
    """Return the products of a ciphertext and a weight in one pass through a body, either way."""
    shapes = spec.shapes(network)
    blocks = build_network(spec, network)
    total = 0
    for index in body_indices(spec, _LIGHTEST, network):
        places = _places(spec.network(network).blocks[index], shapes[index], shapes[index + 1])
        weights = blocks.at(index).main.weight
        assert isinstance(weights, Tensor)
        total += weights.numel() * math.ceil(batch_size * places / slots)
    return total


def _places(block: BlockSpec, entering: Shape, leaving: Shape) -> int:
    """Return on how many places of a sample each weight is used."""
    if isinstance(block, LinearSpec):
        return 1
    return math.prod((entering if isinstance(block, TransposedConvolutionSpec) else leaving)[1:])


def _numbers(spec: ModelSpec, direction: Literal["up", "down"]) -> int:
    """Return how many numbers of one sample cross in a step."""
    return sum(
        math.prod(shape_of(kind, spec, _LIGHTEST))
        for exchange in EXCHANGES
        for kind in exchange.kinds(direction)
    )
