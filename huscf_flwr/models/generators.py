"""Whole generators, built from states and ready to draw images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from huscf_flwr.models.network import CPU, Blocks, BlockStates, build_blocks, weight_dtype
from huscf_flwr.models.spec import ModelSpec
from huscf_flwr.seeding import torch_stream

Sampler = Callable[[Tensor, torch.Generator], Tensor]
"""Draws images [N, C, H, W], floating point from -1 to 1, for labels [N] from a random stream."""

_MEASURED_BATCHES = 4
_MEASURED_BATCH = 256
_CHANGE_IMAGES = 100


def build_generator(
    spec: ModelSpec, states: BlockStates, dtype: torch.dtype, device: torch.device = CPU
) -> Blocks:
    """Return a whole generator with ``states``, ready to sample: in evaluation mode, without gradients."""
    indices = range(len(spec.generator.blocks))
    generator = build_blocks(spec, "generator", indices, seed=0, dtype=weight_dtype(dtype), device=device)
    generator.load(states)
    generator.eval().requires_grad_(False)
    return generator


def sampler_of(
    spec: ModelSpec, states: BlockStates, dtype: torch.dtype, device: torch.device = CPU
) -> Sampler:
    """Return a function that draws images [N, C, H, W] for labels [N] from a random stream.

    Images are computed on ``device``; random numbers, labels and the returned images are on the CPU.
    """
    generator = build_generator(spec, states, dtype, device)

    def sample(labels: Tensor, stream: torch.Generator) -> Tensor:
        latents = _latents(spec, len(labels), stream, dtype)
        images: Tensor = generator(latents.to(device), labels.to(device))
        return images.to(CPU, torch.float32)

    return sample


@torch.no_grad()
def with_measured_statistics(
    spec: ModelSpec, states: BlockStates, dtype: torch.dtype, device: torch.device = CPU, *, seed: int
) -> BlockStates:
    """Return the generator ``states`` with BatchNorm's running statistics measured again.

    Averaged running statistics do not fit averaged weights: the average of networks that have drifted apart
    has smaller activations than any of them, and normalising these by the variances of the members makes
    images dark. Anyone can draw a generator's inputs, so the right statistics are measured on latent vectors
    and labels from the stream of ``seed``; no client's data are needed.
    """
    generator = build_generator(spec, states, dtype, device)
    for layer in generator.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the average over all batches, with equal weights
    generator.train()
    stream = torch_stream(seed, "running statistics")
    for _ in range(_MEASURED_BATCHES):
        labels = torch.randint(spec.classes, (_MEASURED_BATCH,), generator=stream)
        generator(_latents(spec, len(labels), stream, dtype).to(device), labels.to(device))
    return generator.states()


@torch.no_grad()
def output_change(
    spec: ModelSpec, before: BlockStates, after: BlockStates, dtype: torch.dtype, *, seed: int
) -> float:
    """Return the root mean square change of generated images, with pixels from -1 to 1.

    Both generators get the same latent vectors and labels. States of the discriminator are ignored.
    """
    stream = torch_stream(seed, "output change")
    labels = torch.arange(_CHANGE_IMAGES) % spec.classes
    latents = _latents(spec, len(labels), stream, dtype)
    old, new = (build_generator(spec, states, dtype)(latents, labels) for states in (before, after))
    return float((new - old).square().mean().sqrt())


def _latents(spec: ModelSpec, count: int, stream: torch.Generator, dtype: torch.dtype) -> Tensor:
    return torch.randn(count, spec.latent, generator=stream).to(weight_dtype(dtype))
