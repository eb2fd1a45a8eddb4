"""FedGAN: every client keeps both networks, and the server averages them; messages are all that it needs."""

from huscf_flwr.methods.fedgan.client import FedGANClient
from huscf_flwr.methods.fedgan.method import FedGAN
from huscf_flwr.methods.fedgan.settings import FedGANSettings

__all__ = ["FedGAN", "FedGANClient", "FedGANSettings"]
