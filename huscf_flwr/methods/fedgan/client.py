"""FedGAN's client: both networks whole, trained on its own images."""

from __future__ import annotations

from huscf_flwr.methods.contract import Order, Tensors, Upload
from huscf_flwr.methods.fedgan.crossing import NETWORKS
from huscf_flwr.methods.whole_networks import WholeNetworksClient
from huscf_flwr.models import flatten_blocks, unflatten_blocks


class FedGANClient(WholeNetworksClient):
    """A client whose networks go to the server and come back averaged; their optimisers stay."""

    def begin(self, number: int, order: Order) -> None:
        """Take the averaged networks over; the moments of its optimisers stay its own."""
        self.networks.load(unflatten_blocks(order.tensors[NETWORKS]))
        self.begin_round(number)

    def upload(self) -> Upload:
        """Return both networks."""
        return Upload(tensors={NETWORKS: flatten_blocks(self.networks.states())})

    def private(self) -> Tensors:
        """Return the moments of its optimisers."""
        return self.networks.moments()

    def load_private(self, tensors: Tensors) -> None:
        """Go on with these moments."""
        self.networks.load_moments(tensors)
