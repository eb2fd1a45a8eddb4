"""FedType-style: a small proxy is averaged, and teaches each client's own model, which teaches it."""

from huscf_flwr.methods.fedtype.client import FedTypeClient
from huscf_flwr.methods.fedtype.method import FedType
from huscf_flwr.methods.fedtype.settings import FedTypeSettings

__all__ = ["FedType", "FedTypeClient", "FedTypeSettings"]
