"""MD-GAN: the generator on the server, and a discriminator on every client; discriminators are swapped."""

from huscf_flwr.methods.mdgan.client import MDGANClient
from huscf_flwr.methods.mdgan.method import MDGAN
from huscf_flwr.methods.mdgan.settings import MDGANSettings

__all__ = ["MDGAN", "MDGANClient", "MDGANSettings"]
