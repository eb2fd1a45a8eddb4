"""FedTGP: class means go up, and the server trains global prototypes that keep the classes apart."""

from huscf_flwr.methods.fedtgp.client import FedTGPClient
from huscf_flwr.methods.fedtgp.method import FedTGP
from huscf_flwr.methods.fedtgp.settings import FedTGPSettings

__all__ = ["FedTGP", "FedTGPClient", "FedTGPSettings"]
