"""Clients that begin a round with a weight that is no number."""

import torch

from huscf_flwr.methods.ccvr import CCVRClient
from huscf_flwr.methods.central import CentralClient
from huscf_flwr.methods.fedgan import FedGANClient
from huscf_flwr.methods.fedgen import FedGenClient
from huscf_flwr.methods.fedproto import FedProtoClient
from huscf_flwr.methods.fedtgp import FedTGPClient
from huscf_flwr.methods.fedtype import FedTypeClient
from huscf_flwr.methods.fedvtc import FedVTCClient
from huscf_flwr.methods.fsgan import FSGANClient
from huscf_flwr.methods.gefl import GeFLAutoencoderClient, GeFLClient
from huscf_flwr.methods.hflgan import HFLGANClient
from huscf_flwr.methods.huscf import HuSCFClient
from huscf_flwr.methods.local import LocalClassifierClient, LocalGeneratorClient
from huscf_flwr.methods.mdgan import MDGANClient
from huscf_flwr.methods.pflgan import PFLGANClient
from huscf_flwr.methods.uagan import UAGANClient
from tests.methods.two_exchanges import TwoExchangesClient

WEIGHTS = {
    HuSCFClient: lambda member: member.split.segments.discriminator.blocks.at(4).main.bias,
    **dict.fromkeys(
        (FedGANClient, LocalGeneratorClient, CentralClient, PFLGANClient, HFLGANClient),
        lambda member: member.networks.discriminator.blocks.at(4).main.bias,
    ),
    **dict.fromkeys(
        (
            *(FedProtoClient, FedTGPClient, FedGenClient, FedVTCClient),
            *(CCVRClient, GeFLClient, GeFLAutoencoderClient, FedTypeClient, LocalClassifierClient),
        ),
        lambda member: member.training.network.head.bias,
    ),
    **dict.fromkeys(
        (MDGANClient, UAGANClient, FSGANClient),
        lambda member: member.discriminator.blocks.at(4).main.bias,
    ),
    TwoExchangesClient: lambda member: member.critic.weights,
}
"""A weight of a client of each class, once it has begun a round."""


def poison(monkeypatch, client=1, number=2):
    """Let a client, of whatever method, begin round ``number`` with a weight that is no number."""
    for kind, weight in WEIGHTS.items():
        monkeypatch.setattr(kind, "begin", _poisoned(kind.begin, weight, (client, number)))


def _poisoned(begin, weight, when):
    def begin_broken(member, number, order):
        begin(member, number, order)
        if (member.client, number) == when:
            with torch.no_grad():
                weight(member).fill_(float("nan"))

    return begin_broken
