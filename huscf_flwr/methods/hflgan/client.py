"""HFL-GAN's client: a discriminator and two generators, trained on its own images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.methods.contract import Order, Tensors, Upload
from huscf_flwr.methods.hflgan.crossing import GLOBAL_GENERATOR
from huscf_flwr.methods.hflgan.settings import is_cloud_round
from huscf_flwr.methods.hflgan.step import two_generator_step
from huscf_flwr.methods.hflgan.weights import initial_global_generator
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.whole_networks import SentNetworksClient
from huscf_flwr.models import flatten_blocks, model_spec_of, unflatten_blocks
from huscf_flwr.process import device_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Losses
from huscf_flwr.split import adam_settings
from huscf_flwr.split.segments import TrainedBlocks

_LOCAL, _WEIGHTS, _MOMENTS = "local.", "global.weights.", "global.moments."


class HFLGANClient(SentNetworksClient):
    """A client that keeps its global generator from one cloud round to the next; see ``HFLGAN``."""

    losses: ClassVar = ("discriminator", "generator", "global_generator")

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._global: TrainedBlocks | None = None

    @property
    def global_generator(self) -> TrainedBlocks:
        """The generator that is averaged over all clients; built when it is first needed."""
        if self._global is None:
            blocks = initial_global_generator(self.config).to(device_of(self.config.compute))
            self._global = TrainedBlocks(blocks, adam_settings(self.config))
        return self._global

    def begin(self, number: int, order: Order) -> None:
        """Take the cluster's networks over, and the global generator if there is a new one."""
        super().begin(number, order)
        if GLOBAL_GENERATOR in order.tensors:
            self.global_generator.blocks.load(unflatten_blocks(order.tensors[GLOBAL_GENERATOR]))

    def train(self) -> Iterator[Losses]:
        """Train on the round's batches; the global generator has latent vectors of its own."""
        latent = model_spec_of(self.config).latent
        batches = RoundBatches(
            self.images, self.config, latent=latent, client=self.client, number=self._round
        )
        stream = torch_stream(self.config.seed, "global latents", self.client, self._round)
        for _ in range(self.steps):
            batch = batches.next()
            latents = torch.randn(batch.latents.shape, generator=stream, dtype=batch.latents.dtype)
            losses = two_generator_step(self.networks, self.global_generator, batch, latents)
            yield {name: float(loss) for name, loss in losses.items()}

    def upload(self) -> Upload:
        """Return discriminator and local generator, and in a cloud round the global generator."""
        tensors = dict(super().upload().tensors)
        if is_cloud_round(self.config, self._round):
            tensors[GLOBAL_GENERATOR] = flatten_blocks(self.global_generator.blocks.states())
        return Upload(tensors=tensors)

    def private(self) -> Tensors:
        """Return the global generator, and the moments of all optimisers."""
        return {
            **with_prefix(_LOCAL, self.networks.moments()),
            **flatten_blocks(self.global_generator.blocks.states(), _WEIGHTS),
            **with_prefix(_MOMENTS, self.global_generator.moments()),
        }

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the optimisers start anew, and so does the global generator."""
        if not tensors:
            return
        self.networks.load_moments(below_prefix(_LOCAL, tensors))
        self.global_generator.blocks.load(unflatten_blocks(tensors, _WEIGHTS))
        self.global_generator.load_moments(below_prefix(_MOMENTS, tensors))
