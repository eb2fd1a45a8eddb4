"""Federated Split GANs: the generator on the server, and discriminators that are averaged every epoch."""

from huscf_flwr.methods.fsgan.client import FSGANClient
from huscf_flwr.methods.fsgan.method import FSGAN
from huscf_flwr.methods.fsgan.settings import FSGANSettings

__all__ = ["FSGAN", "FSGANClient", "FSGANSettings"]
