"""Clients that train alone: a conditional GAN, or a classifier, on nothing but their own images."""

from __future__ import annotations

from collections.abc import Iterator

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.contract import Order, Tensors, Upload
from huscf_flwr.methods.generators import drawing_from, measured_generator
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.own_classifiers import OwnClassifierClient
from huscf_flwr.methods.whole_networks import WholeNetworksClient
from huscf_flwr.models import (
    Sampler,
    flatten_blocks,
    unflatten_blocks,
)
from huscf_flwr.seeding import PathPart
from huscf_flwr.session import Losses

_WEIGHTS, _MOMENTS = "weights.", "moments."


class LocalGeneratorClient(WholeNetworksClient):
    """A client whose generator and discriminator never leave it, nor begin with anybody else's weights."""

    @property
    def initial_weights_of(self) -> PathPart:
        """Names the streams of its own initial weights."""
        return self.client

    def begin(self, number: int, order: Order) -> None:  # noqa: ARG002 - it is told nothing
        """Begin a new pass over the images; the networks go on."""
        self.begin_round(number)

    def upload(self) -> Upload:
        """Return nothing."""
        return Upload()

    def sampler(self) -> Sampler:
        """Return what draws from its generator as it is now."""
        measured = measured_generator(self.config, self.networks.states())
        return drawing_from(self.config, flatten_blocks(measured))

    def private(self) -> Tensors:
        """Return both networks and the moments of their optimisers."""
        moments = with_prefix(_MOMENTS, self.networks.moments())
        return {**flatten_blocks(self.networks.states(), _WEIGHTS), **moments}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the client starts anew."""
        if not tensors:
            return
        self.networks.load(unflatten_blocks(tensors, _WEIGHTS))
        self.networks.load_moments(below_prefix(_MOMENTS, tensors))


class LocalClassifierClient(OwnClassifierClient):
    """A client whose classifier never leaves it."""

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._round = 0

    def begin(self, number: int, order: Order) -> None:  # noqa: ARG002 - it is told nothing
        """Begin a new pass over the images; the network goes on."""
        self._round = number

    def train(self) -> Iterator[Losses]:
        """Train for the local epochs; an epoch is a pass over the client's own images."""
        return self.training.train(self.images, epochs=self.config.local_epochs, number=self._round)

    def upload(self) -> Upload:
        """Return nothing."""
        return Upload()
