"""HFL-GAN-style: two generators a client, one averaged within clusters and one over all clients."""

from huscf_flwr.methods.hflgan.client import HFLGANClient
from huscf_flwr.methods.hflgan.method import HFLGAN
from huscf_flwr.methods.hflgan.settings import HFLGANSettings

__all__ = ["HFLGAN", "HFLGANClient", "HFLGANSettings"]
