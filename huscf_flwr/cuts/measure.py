"""The speed of this machine in the work that it will do: one step of the whole model, timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import torch
import yaml
from torch import Tensor
from torch.nn import functional

from huscf_flwr.cuts.costs import FlopRule, step_costs
from huscf_flwr.models import Blocks, ModelSpec, build_network, weight_dtype
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Kind, Role, wire_type
from huscf_flwr.session.packing import pack, unpack

_MATRIX_SIDE = 1024
_PACKED_NUMBERS = 2**19

Clock = Callable[[], float]


@dataclass(frozen=True)
class MeasuredSpeed:
    """Arithmetic speeds in 1e9 operations per second."""

    model_gflops: float
    """In a step of the model, optimisers left out, by the rule asked for: what belongs into a profile."""
    matrix_gflops: float
    """In one large matrix product: how far the model is from what the machine could do."""


def measure_speed(
    spec: ModelSpec,
    *,
    batch_size: int = 64,
    rule: FlopRule = "exact",
    dtype: torch.dtype = torch.float32,
    repetitions: int = 5,
    clock: Clock = time.perf_counter,
) -> MeasuredSpeed:
    """Time a step of the model in ``dtype``, and a matrix product; return the median speed of each."""
    costs = step_costs(spec, batch_size, rule)
    step_gflop = costs.generator.total_gflop() + costs.discriminator.total_gflop()
    step = StepWork(spec, batch_size, dtype)
    matrix = torch.rand(_MATRIX_SIDE, _MATRIX_SIDE, generator=torch_stream(0, "measure", "matrix"))
    matrix_gflop = 2 * _MATRIX_SIDE**3 / 1e9
    return MeasuredSpeed(
        step_gflop / _median_seconds(step.run, repetitions, clock),
        matrix_gflop / _median_seconds(lambda: matrix @ matrix, repetitions, clock),
    )


def measure_packing(repetitions: int = 5, clock: Clock = time.perf_counter) -> float:
    """Return the median 1e-9 seconds to pack or to unpack a number, with the preset that packs the most.

    Of all its ways to pack, each for as many numbers.
    """
    numbers = torch.randn(_PACKED_NUMBERS, generator=torch_stream(0, "measure", "packing"))
    wire = wire_type("smallest")
    roles: tuple[Role, ...] = get_args(Role)
    kinds = [Kind("number", role=role) for role in roles]
    forms = [form for kind in kinds if (form := wire.form(kind, len(numbers))) is not None]

    def work() -> None:
        for form in forms:
            packed = pack(numbers, form, torch_stream(0, "measure", "signs"))
            unpack(packed, len(numbers), form, torch_stream(0, "measure", "signs"))

    return 1e9 * _median_seconds(work, repetitions, clock) / (2 * len(forms) * len(numbers))


def profile_file(
    name: str, speed: MeasuredSpeed, *, mbit_per_s: float, delay_ms: float, packing_ns: float
) -> str:
    """Return a file with the profile of one device, as YAML."""
    profile = {
        "name": name,
        "gflops": float(f"{speed.model_gflops:.4g}"),
        "mbit_per_s": mbit_per_s,
        **({"delay_ms": delay_ms} if delay_ms else {}),
        "packing_ns": float(f"{packing_ns:.3g}"),
    }
    return "devices:\n- " + yaml.safe_dump(profile, sort_keys=False, default_flow_style=True, width=200)


def _median_seconds(work: Callable[[], object], repetitions: int, clock: Clock) -> float:
    """Return the median time of ``work``; one more run comes first, to warm up."""
    work()
    seconds = []
    for _ in range(repetitions):
        started = clock()
        work()
        seconds.append(clock() - started)
    return statistics.median(seconds)


class StepWork:
    """The arithmetic of one step: the generator's pass, and the discriminator's three."""

    def __init__(self, spec: ModelSpec, batch_size: int, dtype: torch.dtype = torch.float32) -> None:
        stream = torch_stream(0, "measure", "batch")
        self.generator = build_network(spec, "generator", dtype=dtype)
        self.discriminator = build_network(spec, "discriminator", dtype=dtype)
        self.latents = torch.randn(batch_size, spec.latent, generator=stream).to(weight_dtype(dtype))
        self.reals = torch.randn(batch_size, *spec.image.shape, generator=stream).to(weight_dtype(dtype))
        self.labels = torch.randint(spec.classes, (batch_size,), generator=stream)

    def run(self) -> None:
        """Compute all gradients of one step."""
        fakes = self.generator(self.latents, self.labels)
        self._judge(fakes.detach(), 0.0)
        self._judge(self.reals, 1.0)
        self.discriminator.requires_grad_(False)
        self._judge(fakes, 1.0)
        self.discriminator.requires_grad_(True)
        _forget(self.generator)
        _forget(self.discriminator)

    def _judge(self, images: Tensor, target: float) -> None:
        logits = self.discriminator(images, self.labels)
        logits = logits.to(weight_dtype(logits.dtype))
        loss = functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
        loss.backward()  # type: ignore[no-untyped-call]


def _forget(network: Blocks) -> None:
    for parameter in network.parameters():
        parameter.grad = None
