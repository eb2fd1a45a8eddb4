"""MD-GAN's client: a discriminator that stays until it is swapped for another client's."""

from __future__ import annotations

from huscf_flwr.methods.contract import Order, Upload
from huscf_flwr.methods.mdgan.crossing import DISCRIMINATOR, MDGANOrder
from huscf_flwr.methods.mdgan.settings import MDGANSettings
from huscf_flwr.methods.server_generator import CriticClient, Fakes
from huscf_flwr.seeding import PathPart
from huscf_flwr.session import ClientStep, Computed


class MDGANClient(CriticClient):
    """Learns from one batch of fakes, and criticises another."""

    _swap = False

    @property
    def initial_weights_of(self) -> PathPart:
        """Common weights, or the client's own."""
        common = self.config.settings(MDGANSettings).initialisation == "common"
        return "common" if common else self.client

    def begin(self, number: int, order: Order) -> None:
        """Take over another client's discriminator, if the order has one."""
        assert isinstance(order.facts, MDGANOrder)
        self._swap = order.facts.swap
        if DISCRIMINATOR in order.tensors:
            self.take(order.tensors[DISCRIMINATOR])
            if self.config.settings(MDGANSettings).moments == "reset":
                self.discriminator.forget_moments()
        self.begin_round(number)

    def step(self) -> ClientStep:
        """Return a step: one of the discriminator, and the feedback for the generator."""
        fakes, labels, judged, judged_labels = yield Computed(())
        yield self.criticise(Fakes(fakes, labels), Fakes(judged, judged_labels))

    def upload(self) -> Upload:
        """Return the discriminator if it is to be swapped, else nothing."""
        return Upload(tensors={DISCRIMINATOR: self.states()} if self._swap else {})
