"""Central training's client: a whole domain."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages, PooledImages
from huscf_flwr.methods.central.crossing import CentralOrder, PooledDescription
from huscf_flwr.methods.central.settings import CentralSettings
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.whole_networks import SentNetworksClient


class CentralClient(SentNetworksClient):
    """Both networks of a domain, on what all of its clients hold."""

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        if not isinstance(images, PooledImages):
            raise ValueError(
                "method: central trains on the pooled images of all clients, which only a simulation has; a "
                "device has its own: take another method"
            )
        super().__init__(client, images, device, config)
        self._largest = max(images.shares)
        self._steps = 0

    @property
    def batch_size(self) -> int:
        """Images in a batch."""
        return self.config.settings(CentralSettings).batch_size

    @property
    def steps(self) -> int:
        """As many as the server says."""
        return self._steps

    def describe(self) -> PooledDescription:
        """Return how many images there are, and how many came from one client."""
        return PooledDescription(samples=len(self.images), device=self.profile, largest=self._largest)

    def begin(self, number: int, order: Order) -> None:
        """Go on with the domain's networks."""
        assert isinstance(order.facts, CentralOrder)
        self._steps = order.facts.steps
        super().begin(number, order)
