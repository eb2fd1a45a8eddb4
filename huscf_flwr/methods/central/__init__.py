"""All images in one place: one whole GAN a domain, the upper anchor of the methods for generators."""

from huscf_flwr.methods.central.client import CentralClient
from huscf_flwr.methods.central.method import Central
from huscf_flwr.methods.central.settings import CentralSettings

__all__ = ["Central", "CentralClient", "CentralSettings"]
