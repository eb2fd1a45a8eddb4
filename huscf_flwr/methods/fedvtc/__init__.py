"""FedVTC: classifiers of different architectures that learn from what a shared decoder draws."""

from huscf_flwr.methods.fedvtc.client import FedVTCClient, OwnDecoderClient
from huscf_flwr.methods.fedvtc.crossing import FedVTCDescription
from huscf_flwr.methods.fedvtc.method import FedVTC, FedVTCOwnDecoders
from huscf_flwr.methods.fedvtc.settings import FedVTCSettings

__all__ = [
    "FedVTC",
    "FedVTCClient",
    "FedVTCDescription",
    "FedVTCOwnDecoders",
    "FedVTCSettings",
    "OwnDecoderClient",
]
