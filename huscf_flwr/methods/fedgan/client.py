"""FedGAN's client: both networks whole, trained on its own images."""

from __future__ import annotations

from huscf_flwr.methods.whole_networks import SentNetworksClient


class FedGANClient(SentNetworksClient):
    """A client whose networks go to the server and come back averaged; their optimisers stay."""
