"""Steps to time: ours through the split engine in one process, and the plain opponent's."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch

from huscf_flwr.bench import plain
from huscf_flwr.cuts.beliefs import server_gflop
from huscf_flwr.cuts.costs import step_costs
from huscf_flwr.data import LabelledImages
from huscf_flwr.models import CPU, NETWORKS, Cut, ModelSpec, head_indices, legal_cuts, tail_indices
from huscf_flwr.session import Ledger, LocalChannel, LockStep, run_step
from huscf_flwr.split import Batch, HostedClient, SplitClient, SplitExecutor, noise_batch

_MATRIX_SIZES = {"cpu": (512, 1024, 2048, 4096), "cuda": (4096, 8192)}
_MATRIX_REPEATS = 5
_MATRIX_SECONDS = 2.0

Step = Callable[[], object]


def mixed_cuts(spec: ModelSpec, clients: int) -> dict[int, Cut]:
    """Return cuts that differ: five steps along the legal ones from client to client."""
    legal = legal_cuts(spec)
    return {client: legal[5 * client % len(legal)] for client in range(clients)}


def random_batches(spec: ModelSpec, clients: int, batch_size: int) -> list[Batch]:
    """Return one batch of noise for each client, the same at every call."""
    stream = torch.Generator().manual_seed(0)
    return [noise_batch(spec, batch_size, stream) for _ in range(clients)]


def noise_images(spec: ModelSpec, count: int, stream: torch.Generator) -> LabelledImages:
    """Draw images of noise with every label in turn, as a domain has them."""
    pixels = torch.randint(256, (count, *spec.image.shape), generator=stream, dtype=torch.uint8)
    return LabelledImages(pixels, torch.arange(count) % spec.classes)


def hosted_clients(
    spec: ModelSpec,
    cuts: Mapping[int, Cut],
    batches: Sequence[Batch],
    dtype: torch.dtype,
    device: torch.device = CPU,
    seed: int = 0,
) -> list[HostedClient]:
    """Return a client for each cut, that takes the batch of its id again and again."""

    def hosted(client: int, cut: Cut) -> HostedClient:
        split = SplitClient(client, spec, cut, seed=seed, dtype=dtype, device=device)
        return HostedClient(split, lambda: batches[client])

    return [hosted(client, cut) for client, cut in cuts.items()]


def split_step(
    spec: ModelSpec, cuts: Mapping[int, Cut], batches: Sequence[Batch], dtype: torch.dtype
) -> tuple[Step, Ledger]:
    """Return one step of all clients in this process, and the ledger that counts what crosses."""
    executor = SplitExecutor(spec, cuts, seed=0, dtype=dtype)
    ledger = Ledger()
    session = LockStep(executor, [list(cuts)], ledger=ledger, steps=2**31)
    channel = LocalChannel(session)
    hosted = hosted_clients(spec, cuts, batches, dtype)
    return lambda: run_step(hosted, channel), ledger


def plain_step(cuts: Mapping[int, Cut], batches: Sequence[Batch]) -> Step:
    """Return the same step of the plain opponent, which knows the authors' networks only."""
    opponent = plain.PlainGAN([_plain_cut(cut) for cut in cuts.values()])
    plain_batches = [(batch.images, batch.labels, batch.latents) for batch in batches]
    return lambda: opponent.step(plain_batches)


def plain_hash() -> str:
    """Return the SHA-256 of the opponent's source, so that every comparison says with whom."""
    return hashlib.sha256(Path(plain.__file__).read_bytes()).hexdigest()


def step_gflop(spec: ModelSpec, cuts: Mapping[int, Cut], batch_size: int) -> float:
    """Return the arithmetic of one step of all clients, by the exact rule."""
    costs = step_costs(spec, batch_size, "exact")
    total = 0.0
    for cut in cuts.values():
        total += server_gflop(costs, cut)
        for name in NETWORKS:
            network = costs.network(name)
            kept = [*head_indices(cut, name), *tail_indices(spec, cut, name)]
            total += float((network.client_forward_gflop + network.client_backward_gflop)[kept].sum())
    return total


def seconds_of(steps: Sequence[Step], *, repeats: int, warm_up: int) -> list[list[float]]:
    """Time ``steps`` in turn, so that what disturbs the machine disturbs all of them alike.

    Returns the seconds of the ``repeats`` counted runs of each, pair by pair.
    """
    seconds: list[list[float]] = [[] for _ in steps]
    for number in range(warm_up + repeats):
        for step, times in zip(steps, seconds, strict=True):
            started = time.perf_counter()
            step()
            if number >= warm_up:
                times.append(time.perf_counter() - started)
    return seconds


def matrix_gflops(dtype: torch.dtype, device: torch.device = CPU) -> float:
    """Return the best speed of a plain matrix product on ``device``, in GFLOP/s.

    Sizes grow until a product would take seconds: some processors only emulate bfloat16, at a hundredth of
    their speed, and are no faster at larger sizes.
    """
    best = 0.0
    for size in _MATRIX_SIZES[device.type]:
        gflop = 2 * size**3 / 1e9
        if gflop > _MATRIX_SECONDS * best > 0:
            break
        left, right = (torch.randn(size, size).to(device, dtype) for _ in range(2))
        (times,) = seconds_of([partial(_product, left, right)], repeats=_MATRIX_REPEATS, warm_up=1)
        best = max(best, gflop / min(times))
    return best


def median_ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Return the median over the pairs of how many times longer ``slow`` took."""
    return median(long / short for long, short in zip(slow, fast, strict=True))


def _product(left: torch.Tensor, right: torch.Tensor) -> None:
    _ = left @ right
    if left.is_cuda:
        torch.cuda.synchronize(left.device)


def _plain_cut(cut: Cut) -> plain.PlainCut:
    generator_head, generator_tail, discriminator_head, discriminator_tail = (kept - 1 for kept in cut)
    return generator_head, generator_tail, discriminator_head, discriminator_tail
