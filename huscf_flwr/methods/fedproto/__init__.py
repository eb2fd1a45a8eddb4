"""FedProto: every client has a classifier of its own, and class means are all that crosses."""

from huscf_flwr.methods.fedproto.client import FedProtoClient
from huscf_flwr.methods.fedproto.crossing import FedProtoDescription
from huscf_flwr.methods.fedproto.method import FedProto
from huscf_flwr.methods.fedproto.settings import FedProtoSettings

__all__ = ["FedProto", "FedProtoClient", "FedProtoDescription", "FedProtoSettings"]
