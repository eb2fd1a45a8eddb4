"""HuSCF-GAN: ``method`` is the server's half, ``client`` the client's, ``crossing`` what passes between."""

from huscf_flwr.methods.huscf.client import HuSCFClient
from huscf_flwr.methods.huscf.method import HuSCF, HuSCFFromLabels, HuSCFLocal
from huscf_flwr.methods.huscf.settings import HuSCFSettings

__all__ = ["HuSCF", "HuSCFClient", "HuSCFFromLabels", "HuSCFLocal", "HuSCFSettings"]
