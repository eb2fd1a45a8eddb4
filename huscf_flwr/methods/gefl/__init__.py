"""GeFL: a generator of images is averaged, and classifiers that differ learn from what it draws."""

from huscf_flwr.methods.gefl.client import GeFLAutoencoderClient, GeFLClient
from huscf_flwr.methods.gefl.method import GeFL, GeFLAutoencoder
from huscf_flwr.methods.gefl.settings import GeFLSettings

__all__ = ["GeFL", "GeFLAutoencoder", "GeFLAutoencoderClient", "GeFLClient", "GeFLSettings"]
