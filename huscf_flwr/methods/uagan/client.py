"""UA-GAN's client: a discriminator that never leaves it."""

from __future__ import annotations

import torch

from huscf_flwr.methods.contract import Order, Upload
from huscf_flwr.methods.label_counts import counted
from huscf_flwr.methods.server_generator import DiscriminatorClient, Fakes
from huscf_flwr.methods.uagan.crossing import UAGANDescription
from huscf_flwr.seeding import PathPart
from huscf_flwr.session import ClientStep, Computed


class UAGANClient(DiscriminatorClient):
    """Learns from the batch of fakes that all clients have, and says how real it takes them to be."""

    @property
    def initial_weights_of(self) -> PathPart:
        """Its own weights, as in the public code: no two discriminators are ever averaged."""
        return self.client

    def describe(self) -> UAGANDescription:
        """Return what the server is told before the first round: how many images of each class there are."""
        return UAGANDescription(samples=len(self.images), device=self.profile, counts=counted(self))

    def begin(self, number: int, order: Order) -> None:  # noqa: ARG002 - an order has nothing in it
        """Begin a new pass over the images; the discriminator goes on as it is."""
        self.begin_round(number)

    def step(self) -> ClientStep:
        """Return a step: one of the discriminator, then its logits, then the way back to the images."""
        fakes = Fakes(*(yield Computed(())))
        loss = self.learn(fakes)
        images, logits = self.judge(fakes)
        (gradient,) = yield Computed((logits.detach(),), {"discriminator": loss})
        (at_images,) = torch.autograd.grad(logits, images, gradient.to(logits))
        yield Computed((at_images,))

    def upload(self) -> Upload:
        """Return nothing: the server has had all that it needs."""
        return Upload()
