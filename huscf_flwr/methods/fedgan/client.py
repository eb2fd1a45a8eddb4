"""FedGAN's client: both networks whole, trained on its own images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.methods.contract import MessageClient, Order, Tensors, Upload
from huscf_flwr.methods.fedgan.crossing import NETWORKS
from huscf_flwr.models import all_block_keys, flatten_blocks, model_spec_of, unflatten_blocks
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.session import Losses
from huscf_flwr.split import Segments, adam_settings, unsplit_step


class FedGANClient(MessageClient):
    """A client's generator and discriminator, and its batches of a round."""

    losses: ClassVar = ("discriminator", "generator")

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._networks: Segments | None = None
        self._round = 0

    @property
    def networks(self) -> Segments:
        """Both networks with their optimisers; built when they are first needed."""
        if self._networks is None:
            spec = model_spec_of(self.config)
            self._networks = Segments(
                spec,
                list(all_block_keys(spec)),
                seed=self.config.seed,
                adam=adam_settings(self.config),
                dtype=dtype_of(self.config),
                device=device_of(self.config.compute),
            )
        return self._networks

    def begin(self, number: int, order: Order) -> None:
        """Take the averaged networks over; the moments of its optimisers stay its own."""
        self.networks.load(unflatten_blocks(order.tensors[NETWORKS]))
        self._round = number

    def train(self) -> Iterator[Losses]:
        """Train for the local epochs; an epoch is a pass over the client's own images."""
        latent = model_spec_of(self.config).latent
        batches = RoundBatches(
            self.images, self.config, latent=latent, client=self.client, number=self._round
        )
        for _ in range(self.config.local_epochs * math.ceil(len(self.images) / self.config.batch_size)):
            losses = unsplit_step(self.networks, batches.next())
            yield {name: float(loss) for name, loss in losses.items()}

    def upload(self) -> Upload:
        """Return both networks."""
        return Upload(tensors={NETWORKS: flatten_blocks(self.networks.states())})

    def private(self) -> Tensors:
        """Return the moments of its optimisers."""
        return self.networks.moments()

    def load_private(self, tensors: Tensors) -> None:
        """Go on with these moments."""
        self.networks.load_moments(tensors)
