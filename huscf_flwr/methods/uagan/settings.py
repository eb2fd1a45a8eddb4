"""Settings of UA-GAN."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.config import MethodSettings


class UAGANSettings(MethodSettings):
    """There are none: the common settings are all that can be set."""

    section: ClassVar[str] = "uagan"
