"""UA-GAN: the generator on the server learns from all clients' discriminators as from one."""

from huscf_flwr.methods.uagan.client import UAGANClient
from huscf_flwr.methods.uagan.method import UAGAN
from huscf_flwr.methods.uagan.settings import UAGANSettings

__all__ = ["UAGAN", "UAGANClient", "UAGANSettings"]
