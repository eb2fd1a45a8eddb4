"""PFL-GAN's client: it trains both networks on its own images, and later receives them from the server."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.methods.contract import Order, Upload
from huscf_flwr.methods.pflgan.crossing import PFLGANOrder
from huscf_flwr.methods.whole_networks import SentNetworksClient
from huscf_flwr.models import model_spec_of
from huscf_flwr.session import Losses
from huscf_flwr.split import adversarial_loss


class PFLGANClient(SentNetworksClient):
    """A client with a GAN of its own, which the server trains further once the local rounds are over."""

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._local = True

    def begin(self, number: int, order: Order) -> None:
        """Take its networks over; the moments of its optimisers stay as they are."""
        assert isinstance(order.facts, PFLGANOrder)
        self._local = order.facts.local
        super().begin(number, order)

    def train(self) -> Iterator[Losses]:
        """Train on the round's batches; in a collaborative round only see how the networks do on them."""
        return super().train() if self._local else self._look()

    def upload(self) -> Upload:
        """Return both networks, if they were trained here."""
        return super().upload() if self._local else Upload()

    @torch.no_grad()
    def _look(self) -> Iterator[Losses]:
        """Yield the losses of one pass over its own images, as those of a step are, without any step."""
        generator, discriminator = self.networks.generator.blocks, self.networks.discriminator.blocks
        latent = model_spec_of(self.config).latent
        batches = RoundBatches(
            self.images, self.config, latent=latent, client=self.client, number=self._round
        )
        for _ in range(math.ceil(len(self.images) / self.batch_size)):
            batch = batches.next().to(self.networks.device)
            on_fakes = discriminator(generator(batch.latents, batch.fake_labels), batch.fake_labels)
            on_images = discriminator(batch.images, batch.labels)
            loss = adversarial_loss(on_fakes, 0.0) + adversarial_loss(on_images, 1.0)
            yield {"discriminator": float(loss), "generator": float(adversarial_loss(on_fakes, 1.0))}
