import json
import math
import sys

import pytest
import torch
from typer.testing import CliRunner

from huscf_flwr.bench.homomorphic import MODULI_BITS, EncryptedConvolution, encrypted_convolution
from huscf_flwr.bench.homomorphic_step import encrypted_step, products_of_pass
from huscf_flwr.bench.step import random_batches, split_step
from huscf_flwr.commands.main import app
from huscf_flwr.extras import MissingExtraError
from huscf_flwr.models import Cut, load_model_spec

SPEC = load_model_spec("authors-28")
SMALL = load_model_spec("authors-28", 0.03)
MEASURED = EncryptedConvolution(
    degree=8,
    slots=4,
    products_in_a_row=2,
    input_channels=3,
    output_channels=5,
    measured_channels=1,
    products=100,
    float32_bytes=40,
    input_bytes=3 * 32,
    result_bytes=48,
    rotation_key_bytes=1,
    encrypt_seconds=1.0,
    rotate_seconds=2.0,
    product_seconds=0.5,
    decrypt_seconds=4.0,
    plain_seconds=0.1,
    largest_error=0.0,
    largest_output=1.0,
)
"""Made up, so that what follows from it can be worked out by hand."""


def with_middle(spec, middle, **changes):
    """The spec with another middle block, and that one changed."""
    blocks = list(spec.discriminator.blocks)
    blocks[middle - 1] = blocks[middle - 1].model_copy(update=changes)
    discriminator = spec.discriminator.model_copy(update={"middle": middle, "blocks": tuple(blocks)})
    return spec.model_copy(update={"discriminator": discriminator})


@pytest.mark.parametrize("middle", [2, 3])
def test_what_is_decrypted_is_the_convolution(middle):
    """Block 2 has stride 2 and a kernel of 4, block 3 stride 1 and a kernel of 3."""
    pytest.importorskip("tenseal")
    spec = with_middle(SMALL, middle)
    outputs = spec.discriminator.blocks[middle - 1].channels
    measured = encrypted_convolution(spec, 8192, outputs)
    assert measured.largest_output > 0.1
    assert measured.largest_error < 1e-4 * measured.largest_output


def test_a_ciphertext_is_no_smaller_than_what_is_random_in_it():
    """Of a fresh one half is sent as a seed; a result has lost a prime, and is sent whole."""
    pytest.importorskip("tenseal")
    measured = encrypted_convolution(SMALL, 8192)
    first, middle, _, _ = MODULI_BITS[8192]
    fresh, result = 8192 * (first + 2 * middle) // 8, 2 * 8192 * (first + middle) // 8
    assert fresh < measured.input_bytes / measured.input_channels < 1.3 * fresh
    assert result < measured.result_bytes < 1.3 * result
    assert measured.float32_bytes == 4 * measured.input_channels * 7 * 7
    assert measured.products == measured.input_channels * measured.output_channels * 3 * 3


def test_the_discriminators_body_takes_a_product_a_weight():
    """All of 64 samples have room in one ciphertext: 49, 49 and 9 places of each."""
    weights = 64 * 16 * 128 + 128 * 9 * 128 + 128 * 16 * 256
    assert products_of_pass(SPEC, "discriminator", 64, 4096) == weights == 802_816


def test_more_places_take_more_ciphertexts():
    """The generator's kernels lie on 49, 196 and 196 places: 32 samples need 1, 2 and 2 ciphertexts."""
    weights = [256 * 16 * 128, 128 * 9 * 128, 128 * 16 * 64]
    expected = sum(count * each for count, each in zip([1, 2, 2], weights, strict=True))
    assert products_of_pass(SPEC, "generator", 32, 4096) == expected


def test_a_step_passes_the_generator_twice_and_the_discriminator_six_times():
    step = encrypted_step(SMALL, 2, MEASURED)
    generator, discriminator = (
        products_of_pass(SMALL, name, 2, 4) for name in ("generator", "discriminator")
    )
    assert step.products == 2 * generator + 6 * discriminator
    assert step.seconds == 0.5 * step.products
    assert step.discriminator_seconds == 0.5 * discriminator


def test_what_crosses_is_what_a_step_sends_times_what_encryption_makes_of_it():
    """A fresh ciphertext of the made-up ones has 32 bytes for 4 numbers, a result 48."""
    step = encrypted_step(SMALL, 2, MEASURED)
    take, ledger = split_step(SMALL, {0: Cut()}, random_batches(SMALL, 1, 2), torch.float32)
    take()
    assert step.float32_up_bytes + step.float32_down_bytes == ledger.total()
    assert (step.up_bytes, step.down_bytes) == (2 * step.float32_up_bytes, 3 * step.float32_down_bytes)


def test_a_convolutions_seconds_are_those_of_all_its_channels():
    assert MEASURED.seconds == 1 + 2 + 100 * 0.5 + 5 * 4


@pytest.mark.parametrize(
    ("spec", "degree", "outputs", "message"),
    [
        (SMALL, 4096, 1, "degree: 4096 is not offered; take 8192 or 16384"),
        (SMALL, 8192, 5, "output channels: 5, but the block has 4"),
        (SMALL, 8192, 0, "output channels: 0"),
        (with_middle(SMALL, 3, padding=30), 8192, 1, "a channel has 4489, padding included"),
        (with_middle(SMALL, 5), 8192, 1, "the discriminator's middle block is a linear"),
    ],
)
def test_what_cannot_be_measured_is_refused(spec, degree, outputs, message):
    with pytest.raises(ValueError, match=message):
        encrypted_convolution(spec, degree, outputs)


def test_a_step_without_images_is_refused():
    with pytest.raises(ValueError, match="batch size: 0"):
        encrypted_step(SMALL, 0, MEASURED)


def test_a_missing_extra_is_named(monkeypatch):
    for name in ("tenseal", "tenseal.sealapi"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'huscf-flwr\[he\]'"):
        encrypted_convolution(SMALL, 8192)


@pytest.mark.parametrize("form", ["table", "json"])
def test_the_command_says_what_was_measured_and_what_follows(form):
    pytest.importorskip("tenseal")
    printed = CliRunner().invoke(app, ["bench", "he", "--width", "0.03", "--format", form])
    assert printed.exit_code == 0, printed.output
    if form == "table":
        assert "1 of 4 output channels" in printed.stdout
        return
    found = json.loads(printed.stdout)
    convolution, step = found["convolution"], found["step"]
    assert convolution["measured_channels"] == 1
    assert step["seconds"] == pytest.approx(step["products"] * convolution["product_seconds"])
    assert math.isclose(step["up_bytes"], step["float32_up_bytes"] * convolution["times_up"], rel_tol=1e-6)
