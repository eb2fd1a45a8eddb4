"""One client with its private images: what a device, or a host of virtual clients, runs."""

from __future__ import annotations

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.data import BatchSampler, FreshDraw, LabelledImages, ShuffledPasses, normalise
from huscf_flwr.models import Cut, ModelSpec, weight_dtype
from huscf_flwr.process import device_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.split import AdamSettings, Batch, HostedClient, SplitClient, WireType

_SAMPLERS: dict[str | None, type[ShuffledPasses] | type[FreshDraw]] = {
    "passes": ShuffledPasses,
    "fresh-draw": FreshDraw,
}
_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Participant:
    """A client's images, its segments, and the order in which it takes its batches.

    Every draw comes from a stream of its own, named by seed, client and round, so that nothing depends on
    which host the client lives on or who else is there.
    """

    def __init__(
        self, client: int, images: LabelledImages, config: RunConfig, spec: ModelSpec, cut: Cut
    ) -> None:
        self._config = config
        self._images = images
        self.split = SplitClient(
            client,
            spec,
            cut,
            seed=config.seed,
            owner=client if config.method.initialisation == "per-client" else "common",
            adam=adam_settings(config),
            dtype=dtype_of(config),
            device=device_of(config.compute),
        )

    def begin_round(self, number: int) -> HostedClient:
        """Return the client with the batches of round ``number``, from one; a round begins a new pass."""
        client, seed = self.split.client, self._config.seed
        sampler: BatchSampler = _SAMPLERS[self._config.method.batches](
            len(self._images), self._config.batch_size, torch_stream(seed, "order", client, number)
        )
        latents = torch_stream(seed, "latents", client, number)
        return HostedClient(self.split, lambda: self._next_batch(sampler, latents))

    def _next_batch(self, sampler: BatchSampler, latents: torch.Generator) -> Batch:
        chosen = self._images.subset(sampler.next())
        dtype = weight_dtype(dtype_of(self._config))
        return Batch(
            images=normalise(chosen.images, dtype),
            labels=chosen.labels,
            latents=torch.randn(len(chosen), self.split.spec.latent, generator=latents, dtype=dtype),
        )


def adam_settings(config: RunConfig) -> AdamSettings:
    """Return the optimiser's settings."""
    section = config.optimiser
    return AdamSettings(learning_rate=section.learning_rate, beta1=section.beta1, beta2=section.beta2)


def dtype_of(config: RunConfig) -> torch.dtype:
    """Return the type of the computation."""
    return _DTYPES[config.compute.precision]


def wire_type_of(config: RunConfig) -> WireType:
    """Return how the numbers of a session cross."""
    sent, computed = config.compute.wire_dtype, dtype_of(config)
    return WireType() if sent is None or _DTYPES[sent] is computed else WireType(_DTYPES[sent], computed)
