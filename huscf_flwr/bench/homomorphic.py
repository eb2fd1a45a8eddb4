"""One convolution on encrypted numbers (CKKS, IACR 2016/421): what it takes in bytes, seconds and precision.

Packing: one ciphertext has one channel of a sample, row by row with its padding, from its first slot on. The
server rotates it once for every place of the kernel, multiplies it by one weight, which is the same in all
slots, and adds. Further samples would lie in the slots that are left, and cost nothing more.

The client encrypts with its secret key, which takes half the bytes of a public one: half of such a ciphertext
is random and is sent as its seed. Everything runs in one thread, and crosses in files as a network would have
it. Seconds are those of a core, so that other work on the machine does not count.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.extras import extra
from huscf_flwr.models import ModelSpec, build_network
from huscf_flwr.models.spec import ConvolutionSpec
from huscf_flwr.seeding import torch_stream

MODULI_BITS = {8192: (60, 40, 40, 60), 16384: (60, 40, 40, 40, 40, 40, 40, 60)}
"""Bits of the primes of the coefficients' modulus by polynomial degree: 128 bits of security."""

_SCALE = 2.0**40
_NOISE_IMAGES = 8
_PLAIN_REPEATS = 20


@dataclass(frozen=True)
class EncryptedConvolution:
    """One sample's pass forward through the convolution of the discriminator's middle block, encrypted.

    Seconds are those of a core.
    """

    degree: int
    """Of the polynomials."""
    slots: int
    """Numbers that one ciphertext has room for."""
    products_in_a_row: int
    """How often a number can be multiplied before the client must decrypt it."""
    input_channels: int
    output_channels: int
    measured_channels: int
    """Output channels that were computed; all others cost the same."""
    products: int
    """Of a ciphertext and a weight, in all output channels."""
    float32_bytes: int
    """Of the input as it crosses in float32."""
    input_bytes: int
    """Of the same, encrypted."""
    result_bytes: int
    """Of one output channel, encrypted."""
    rotation_key_bytes: int
    """Sent once."""
    encrypt_seconds: float
    """Of the input, to where the server has read it."""
    rotate_seconds: float
    """Of the input to all places of the kernel."""
    product_seconds: float
    """Of one product, with its sum: the mean over those that were computed."""
    decrypt_seconds: float
    """Of one output channel, the mean: rescaled by the server, sent and decrypted."""
    plain_seconds: float
    """Of the whole convolution in float32."""
    largest_error: float
    """Against the convolution in float64."""
    largest_output: float

    @property
    def seconds(self) -> float:
        """Of the whole convolution, all output channels, with encryption and decryption."""
        computed = self.rotate_seconds + self.products * self.product_seconds
        return self.encrypt_seconds + computed + self.output_channels * self.decrypt_seconds

    @property
    def times_up(self) -> float:
        """Bytes of a fresh ciphertext over those of float32, were every slot taken."""
        return self.input_bytes / self.input_channels / (4 * self.slots)

    @property
    def times_down(self) -> float:
        """Bytes of a result over those of float32, were every slot taken."""
        return self.result_bytes / (4 * self.slots)


def encrypted_convolution(spec: ModelSpec, degree: int, output_channels: int = 1) -> EncryptedConvolution:
    """Compute ``output_channels`` of the convolution (without bias) of the discriminator's middle block.

    Its input [channels, height, width] is what the blocks before it make of an image of noise, with initial
    weights. Raises ``ValueError`` if the block is no convolution, a padded channel does not fit into a
    ciphertext, or ``degree`` or ``output_channels`` is none that there is, and ``MissingExtraError`` without
    the extra ``he``.
    """
    block = _block_to_measure(spec, degree, output_channels)
    inputs, kernel = _middle_of(spec)
    padded = functional.pad(inputs, [block.padding] * 4)
    width = padded.shape[2]
    shifts = [row * width + column for row in range(block.kernel) for column in range(block.kernel)]
    with TemporaryDirectory() as folder:
        ends = _TwoEnds(degree, shifts, Path(folder))
        planes = _convolve(ends, padded, kernel[:output_channels].flatten(2), shifts)
    found = torch.stack([_laid_out(plane, padded, block) for plane in planes])
    true = functional.conv2d(padded[None], kernel, stride=block.stride)[0, :output_channels]
    computed = output_channels * kernel[0].numel()
    return EncryptedConvolution(
        degree=degree,
        slots=degree // 2,
        products_in_a_row=len(MODULI_BITS[degree]) - 2,
        input_channels=len(inputs),
        output_channels=block.channels,
        measured_channels=output_channels,
        products=kernel.numel(),
        float32_bytes=4 * inputs.numel(),
        input_bytes=ends.sent["up"],
        result_bytes=ends.sent["down"] // output_channels,
        rotation_key_bytes=ends.sent["keys"],
        encrypt_seconds=ends.seconds["encrypt"],
        rotate_seconds=ends.seconds["rotate"],
        product_seconds=ends.seconds["multiply"] / computed,
        decrypt_seconds=ends.seconds["decrypt"] / output_channels,
        plain_seconds=_plain_seconds(padded.float(), kernel.float(), block.stride),
        largest_error=(found - true).abs().max().item(),
        largest_output=true.abs().max().item(),
    )


def _block_to_measure(spec: ModelSpec, degree: int, output_channels: int) -> ConvolutionSpec:
    middle = spec.discriminator.middle_index
    block = spec.discriminator.blocks[middle]
    if not isinstance(block, ConvolutionSpec):
        raise ValueError(f"{spec.name}: the discriminator's middle block is a {block.kind}, no convolution")
    if degree not in MODULI_BITS:
        raise ValueError(f"degree: {degree} is not offered; take {' or '.join(map(str, MODULI_BITS))}")
    if not 1 <= output_channels <= block.channels:
        raise ValueError(
            f"output channels: {output_channels}, but the block has {block.channels}; take 1 to as many"
        )
    numbers = math.prod(side + 2 * block.padding for side in spec.discriminator_shapes[middle][1:])
    if numbers > degree // 2:
        raise ValueError(
            f"degree: {degree} has room for {degree // 2} numbers in a ciphertext, but a channel has "
            f"{numbers}, padding included; take a larger degree or a model of smaller images"
        )
    return block


def _middle_of(spec: ModelSpec) -> tuple[Tensor, Tensor]:
    """Return what enters the middle block [C, H, W], and its kernel [C', C, k, k], in float64."""
    stream = torch_stream(0, "bench", "he")
    network = build_network(spec, "discriminator", dtype=torch.float64)
    images = torch.rand(_NOISE_IMAGES, *spec.image.shape, generator=stream, dtype=torch.float64) * 2 - 1
    labels = torch.arange(_NOISE_IMAGES) % spec.classes
    middle = spec.discriminator.middle_index
    with torch.no_grad():
        inputs = network.run(range(middle), images, labels)[0]
    kernel = network.at(middle).main.weight
    assert isinstance(kernel, Tensor)
    return inputs.contiguous(), kernel.detach().contiguous()


class _TwoEnds:
    """Client and server, and what crosses between them; seconds and bytes are counted."""

    def __init__(self, degree: int, shifts: Sequence[int], folder: Path) -> None:
        with extra("he", "computing on encrypted numbers"):
            import tenseal.sealapi as seal  # noqa: PLC0415 - an extra
        self._seal = seal
        self._file = str(folder / "crossing")
        self.sent: Counter[str] = Counter()
        self.seconds: dict[str, float] = defaultdict(float)
        parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
        parameters.set_poly_modulus_degree(degree)
        parameters.set_coeff_modulus(seal.CoeffModulus.Create(degree, list(MODULI_BITS[degree])))
        self._context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
        self._encoder = seal.CKKSEncoder(self._context)
        self._evaluator = seal.Evaluator(self._context)
        generator = seal.KeyGenerator(self._context)
        public = seal.PublicKey()
        generator.create_public_key(public)
        self._encryptor = seal.Encryptor(self._context, public, generator.secret_key())
        self._decryptor = seal.Decryptor(self._context, generator.secret_key())
        # Keys are asked for by the Galois element of a rotation, which is a power of the group's generator.
        elements = [pow(3, shift, 2 * degree) for shift in shifts if shift]
        generator.create_galois_keys(elements).save(self._file)
        self.sent["keys"] = Path(self._file).stat().st_size
        self._rotation_keys = seal.GaloisKeys()
        self._rotation_keys.load(self._context, self._file)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[what] += time.process_time() - started

    def _cross(self, ciphertext: Any, direction: str) -> Any:
        ciphertext.save(self._file)
        self.sent[direction] += Path(self._file).stat().st_size
        arrived = self._seal.Ciphertext()
        arrived.load(self._context, self._file)
        return arrived

    def encrypt(self, numbers: Tensor) -> Any:
        """Return the ciphertext of a vector as it reaches the server."""
        with self._timed("encrypt"):
            plaintext = self._seal.Plaintext()
            self._encoder.encode(numbers.tolist(), _SCALE, plaintext)
            return self._cross(self._encryptor.encrypt_symmetric(plaintext), "up")

    def rotated(self, ciphertext: Any, shifts: Sequence[int]) -> list[Any]:
        """Return the ciphertext with its slots moved to the front by each of ``shifts``."""
        with self._timed("rotate"):
            moved = []
            for shift in shifts:
                moved.append(self._seal.Ciphertext())
                self._evaluator.rotate_vector(ciphertext, shift, self._rotation_keys, moved[-1])
            return moved

    def add_products(self, total: Any | None, ciphertexts: Sequence[Any], weights: Tensor) -> Any:
        """Return ``total`` and the sum of the ciphertexts, each times its weight, none of which is 0."""
        with self._timed("multiply"):
            plaintext = self._seal.Plaintext()
            for ciphertext, weight in zip(ciphertexts, weights.tolist(), strict=True):
                product = self._seal.Ciphertext()
                self._encoder.encode(weight, _SCALE, plaintext)
                self._evaluator.multiply_plain(ciphertext, plaintext, product)
                if total is None:
                    total = product
                else:
                    self._evaluator.add_inplace(total, product)
            return total

    def decrypt(self, total: Any) -> Tensor:
        """Return the numbers [slots] of a sum of products, float64, as the client gets them."""
        with self._timed("decrypt"):
            self._evaluator.rescale_to_next_inplace(total)
            arrived = self._cross(total, "down")
            plaintext = self._seal.Plaintext()
            self._decryptor.decrypt(arrived, plaintext)
            return torch.tensor(self._encoder.decode_double(plaintext), dtype=torch.float64)


def _convolve(ends: _TwoEnds, padded: Tensor, kernel: Tensor, shifts: Sequence[int]) -> list[Tensor]:
    """Return each output channel [slots], at stride 1, of [C, H, W] and a kernel [C', C, k*k]."""
    totals: list[Any] = [None] * len(kernel)
    for channel, plane in enumerate(padded):
        moved = ends.rotated(ends.encrypt(plane.flatten()), shifts)
        for output, weights in enumerate(kernel):
            totals[output] = ends.add_products(totals[output], moved, weights[channel])
    return [ends.decrypt(total) for total in totals]


def _laid_out(plane: Tensor, padded: Tensor, block: ConvolutionSpec) -> Tensor:
    """Return the output channel [H', W'] in the slots of ``plane``; those between and beside it are void."""
    height, width = padded.shape[1:]
    rows, columns = (slice(0, side - block.kernel + 1, block.stride) for side in (height, width))
    return plane[: height * width].view(height, width)[rows, columns]


def _plain_seconds(padded: Tensor, kernel: Tensor, stride: int) -> float:
    functional.conv2d(padded[None], kernel, stride=stride)
    started = time.process_time()
    for _ in range(_PLAIN_REPEATS):
        functional.conv2d(padded[None], kernel, stride=stride)
    return (time.process_time() - started) / _PLAIN_REPEATS
