"""PFL-GAN-style: every client gets a generator of its own, trained on drawn images of clients like it."""

from huscf_flwr.methods.pflgan.client import PFLGANClient
from huscf_flwr.methods.pflgan.method import PFLGAN
from huscf_flwr.methods.pflgan.settings import PFLGANSettings

__all__ = ["PFLGAN", "PFLGANClient", "PFLGANSettings"]
