"""``huscf bench he``: what the server's share would take on encrypted numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from huscf_flwr.bench.homomorphic import EncryptedConvolution, encrypted_convolution
from huscf_flwr.bench.homomorphic_step import EncryptedStep, encrypted_step
from huscf_flwr.bench.opponent import AUTHORS_MODEL
from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import BatchSize, Format, ModelName, OutputFormat, Width, print_json
from huscf_flwr.models import load_model_spec
from huscf_flwr.run.terminal import terminal

_PACKING = "one channel of a sample in a ciphertext, padding included; one weight for all slots"

Rows = list[tuple[str, str]]


def he(
    degree: Annotated[int, typer.Option(help="of the polynomials: 8192 or 16384")] = 8192,
    model: ModelName = AUTHORS_MODEL,
    width: Width = 1.0,
    batch_size: BatchSize = 64,
    output_channels: Annotated[
        int, typer.Option(help="how many of the convolution's output channels are computed, not predicted")
    ] = 1,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Compute one convolution on encrypted numbers (CKKS), and say what a whole step would take."""
    with errors_as_messages():
        spec = load_model_spec(model, width)
        measured = encrypted_convolution(spec, degree, output_channels)
        step = encrypted_step(spec, batch_size, measured)
    if output is Format.JSON:
        derived = {name: getattr(measured, name) for name in ("seconds", "times_up", "times_down")}
        convolution = {**asdict(measured), **derived}
        print_json(
            {"model": model, "width": width, "packing": _PACKING, "convolution": convolution}
            | {"step": asdict(step)}
        )
        return
    of = f"{model}, width {width:g}, degree {degree}"
    _print(f"The discriminator's middle convolution, one sample ({of})", _convolution_rows(measured))
    _print(f"A step of one client with the lightest cut, at least in this packing ({of})", _step_rows(step))


def _convolution_rows(measured: EncryptedConvolution) -> Rows:
    share = f"{measured.measured_channels} of {measured.output_channels} output channels"
    return [
        ("packing", _PACKING),
        ("measured, the others predicted", share),
        ("seconds", "of one core"),
        ("products before decryption", f"{measured.products_in_a_row} in a row"),
        ("input in float32", f"{measured.float32_bytes / 1e6:.3f} MB"),
        ("input encrypted", f"{measured.input_bytes / 1e6:.3f} MB, this one sample"),
        ("were all slots taken", f"{measured.times_up:.1f} times float32 up, {measured.times_down:.1f} down"),
        ("keys for rotations, once", f"{measured.rotation_key_bytes / 1e6:.1f} MB"),
        ("products of ciphertext and weight", f"{measured.products:,}"),
        ("one product, with its sum", f"{1e3 * measured.product_seconds:.3f} ms"),
        ("encrypting the input", f"{measured.encrypt_seconds:.2f} s"),
        ("rotating it", f"{measured.rotate_seconds:.2f} s"),
        ("decrypting an output channel", f"{1e3 * measured.decrypt_seconds:.1f} ms"),
        (
            "all output channels",
            f"{measured.seconds:.1f} s, unencrypted {1e3 * measured.plain_seconds:.2f} ms",
        ),
        ("largest error", f"{measured.largest_error:.1e} (largest output {measured.largest_output:.2f})"),
    ]


def _step_rows(step: EncryptedStep) -> Rows:
    return [
        ("batch size", f"{step.batch_size}"),
        ("products, one pass of the discriminator", f"{step.discriminator_products:,}"),
        ("these, on one core", f"{step.discriminator_seconds:,.0f} s"),
        ("products, a step", f"{step.products:,}"),
        ("these, on one core", f"{step.seconds:,.0f} s"),
        ("up", f"{step.float32_up_bytes / 1e6:.1f} MB in float32, {step.up_bytes / 1e6:,.1f} MB encrypted"),
        (
            "down",
            f"{step.float32_down_bytes / 1e6:.1f} MB in float32, {step.down_bytes / 1e6:,.1f} MB encrypted",
        ),
        ("not counted", "rotations, encryption, normalisations, activations, gradients of weights"),
        ("formula", "products = weights x ceil(batch size x places / slots) x passes; crossing fills slots"),
    ]


def _print(title: str, rows: Rows) -> None:
    table = Table(title=title, show_header=False)
    for row in rows:
        table.add_row(*row)
    terminal().print(table)
