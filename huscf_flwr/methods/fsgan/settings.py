"""Settings of Federated Split GANs."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.config import MethodSettings


class FSGANSettings(MethodSettings):
    """There are none: the common settings are all that can be set."""

    section: ClassVar[str] = "fsgan"
