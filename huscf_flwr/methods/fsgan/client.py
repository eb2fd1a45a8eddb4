"""The client of Federated Split GANs: a discriminator that is averaged with all others."""

from __future__ import annotations

from huscf_flwr.methods.contract import Order, Tensors, Upload
from huscf_flwr.methods.fsgan.crossing import DISCRIMINATOR
from huscf_flwr.methods.server_generator import CriticClient, Fakes
from huscf_flwr.session import ClientStep, Computed


class FSGANClient(CriticClient):
    """Learns from the batch of fakes that all clients have, and criticises it."""

    def begin(self, number: int, order: Order) -> None:
        """Take the averaged discriminator over; the moments of the optimiser stay as they are."""
        self.take(order.tensors[DISCRIMINATOR])
        self.begin_round(number)

    def step(self) -> ClientStep:
        """Return a step: one of the discriminator, and the gradient for the generator."""
        fakes = Fakes(*(yield Computed(())))
        yield self.criticise(fakes, fakes)

    def upload(self) -> Upload:
        """Return the discriminator."""
        return Upload(tensors={DISCRIMINATOR: self.states()})

    def private(self) -> Tensors:
        """Return the moments of the optimiser; the weights come with every order."""
        return self.discriminator.moments()

    def load_private(self, tensors: Tensors) -> None:
        """Go on with these moments."""
        self.discriminator.load_moments(tensors)
