"""Clients that train alone, with nothing shared: what any way to train together must do better than."""

from huscf_flwr.methods.local.client import LocalClassifierClient, LocalGeneratorClient
from huscf_flwr.methods.local.method import Local, LocalClassifier
from huscf_flwr.methods.local.settings import LocalSettings

__all__ = ["Local", "LocalClassifier", "LocalClassifierClient", "LocalGeneratorClient", "LocalSettings"]
