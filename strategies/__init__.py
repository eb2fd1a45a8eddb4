"""Flower Strategies, one method a file; ``MethodStrategy`` drives any method.

A strategy is imported when it is asked for: ClientApps start anew for each message, and need messages only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from huscf_flwr.extras import extra

if TYPE_CHECKING:
    from huscf_flwr.flower.strategy import MethodStrategy
    from strategies.ccvr import CCVR
    from strategies.central import Central
    from strategies.fedgan import FedGAN
    from strategies.fedgen import FedGen
    from strategies.fedproto import FedProto
    from strategies.fedtgp import FedTGP
    from strategies.fedtype import FedType
    from strategies.fedvtc import FedVTC
    from strategies.fsgan import FSGAN
    from strategies.gefl import GeFL
    from strategies.hflgan import HFLGAN
    from strategies.huscf import HuSCF
    from strategies.local import Local
    from strategies.mdgan import MDGAN
    from strategies.pflgan import PFLGAN
    from strategies.uagan import UAGAN

__all__ = [
    "CCVR",
    "FSGAN",
    "HFLGAN",
    "MDGAN",
    "PFLGAN",
    "UAGAN",
    "Central",
    "FedGAN",
    "FedGen",
    "FedProto",
    "FedTGP",
    "FedType",
    "FedVTC",
    "GeFL",
    "HuSCF",
    "Local",
    "MethodStrategy",
]

_MODULES = {
    "Central": "strategies.central",
    "FedGAN": "strategies.fedgan",
    "FedProto": "strategies.fedproto",
    "FedVTC": "strategies.fedvtc",
    "FedTGP": "strategies.fedtgp",
    "FedGen": "strategies.fedgen",
    "GeFL": "strategies.gefl",
    "CCVR": "strategies.ccvr",
    "FedType": "strategies.fedtype",
    "FSGAN": "strategies.fsgan",
    "HFLGAN": "strategies.hflgan",
    "HuSCF": "strategies.huscf",
    "Local": "strategies.local",
    "MDGAN": "strategies.mdgan",
    "MethodStrategy": "huscf_flwr.flower.strategy",
    "PFLGAN": "strategies.pflgan",
    "UAGAN": "strategies.uagan",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extra("server", "a ServerApp"):
        for late in ("scipy", "sklearn"):  # some methods need them after a round, when many have trained
            import_module(late)
        return getattr(import_module(_MODULES[name]), name)
