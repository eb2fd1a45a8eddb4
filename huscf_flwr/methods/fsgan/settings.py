"""Settings of Federated Split GANs."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.config import MethodSettings


class FSGANSettings(MethodSettings):
    """No settings of its own: the common ones are all that can be set."""

    section: ClassVar[str] = "fsgan"
