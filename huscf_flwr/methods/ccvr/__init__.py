"""CCVR: heads are averaged, and in the end calibrated on features drawn from all clients' statistics."""

from huscf_flwr.methods.ccvr.client import CCVRClient
from huscf_flwr.methods.ccvr.method import CCVR
from huscf_flwr.methods.ccvr.settings import CCVRSettings

__all__ = ["CCVR", "CCVRClient", "CCVRSettings"]
