"""Clients that keep generator and discriminator whole, and train them on their own images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.methods.contract import Description, MessageClient, Order, Tensors, Upload
from huscf_flwr.models import ModelSpec, all_block_keys, flatten_blocks, model_spec_of, unflatten_blocks
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import PathPart
from huscf_flwr.session import Losses
from huscf_flwr.split import Batch, Segments, adam_settings, unsplit_step

NETWORKS = "networks"
"""All blocks of generator and discriminator."""


class WholeNetworksClient(MessageClient):
    """A client's generator and discriminator, and its batches of a round; a subclass says what crosses.

    Its ``begin`` calls ``begin_round``.
    """

    losses: ClassVar[tuple[str, ...]] = ("discriminator", "generator")

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._networks: Segments | None = None
        self._round = 0

    @property
    def initial_weights_of(self) -> PathPart:
        """Names the streams of the initial weights: the same weights for all clients, or its own."""
        return "common"

    @property
    def spec(self) -> ModelSpec:
        """Of the networks."""
        return model_spec_of(self.config)

    @property
    def networks(self) -> Segments:
        """Both networks with their optimisers; built when they are first needed."""
        if self._networks is None:
            self._networks = Segments(
                self.spec,
                list(all_block_keys(self.spec)),
                seed=self.config.seed,
                owner=self.initial_weights_of,
                adam=adam_settings(self.config),
                dtype=dtype_of(self.config),
                device=device_of(self.config.compute),
            )
        return self._networks

    @property
    def told_samples(self) -> int:
        """The number of images that others are told of, at least one ``privacy.count_step``."""
        step = self.config.privacy.count_step
        return step * max(1, (len(self.images) + step // 2) // step)

    def describe(self) -> Description:
        """Return the device and ``told_samples``."""
        return Description(samples=self.told_samples, device=self.profile)

    def begin_round(self, number: int) -> None:
        """Let ``train`` take the batches of round ``number``."""
        self._round = number

    @property
    def batch_size(self) -> int:
        """Images in a batch."""
        return self.config.batch_size

    @property
    def steps(self) -> int:
        """Batches of a round: the local epochs, each a pass over the client's own images.

        With their number rounded it is a little less, or goes on into the next pass: networks count batches.
        """
        return self.config.local_epochs * math.ceil(self.told_samples / self.batch_size)

    def train(self) -> Iterator[Losses]:
        """Train on the round's batches."""
        batches = RoundBatches(
            self.images,
            self.config,
            latent=self.spec.latent,
            client=self.client,
            number=self._round,
            batch_size=self.batch_size,
        )
        for _ in range(self.steps):
            losses = self.take_step(batches.next())
            yield {name: float(loss) for name, loss in losses.items()}

    def take_step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Train both networks on one batch; return their losses, scalars, by name."""
        return unsplit_step(self.networks, batch)


class SentNetworksClient(WholeNetworksClient):
    """A client whose networks come from the server and go back to it; their optimisers stay."""

    def begin(self, number: int, order: Order) -> None:
        """Take the networks over; the moments of the optimisers stay as they are."""
        self.networks.load(unflatten_blocks(order.tensors[NETWORKS]))
        self.begin_round(number)

    def upload(self) -> Upload:
        """Return both networks."""
        return Upload(tensors={NETWORKS: flatten_blocks(self.networks.states())})

    def private(self) -> Tensors:
        """Return the moments of the optimisers."""
        return self.networks.moments()

    def load_private(self, tensors: Tensors) -> None:
        """Go on with these moments."""
        self.networks.load_moments(tensors)
