"""FedGen: the server trains a generator of features on the clients' heads, and clients learn from it."""

from huscf_flwr.methods.fedgen.client import FedGenClient
from huscf_flwr.methods.fedgen.method import FedGen
from huscf_flwr.methods.fedgen.settings import FedGenSettings

__all__ = ["FedGen", "FedGenClient", "FedGenSettings"]
