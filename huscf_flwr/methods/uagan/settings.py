"""Settings of UA-GAN."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.config import MethodSettings


class UAGANSettings(MethodSettings):
    """No settings of its own: the common ones are all that can be set."""

    section: ClassVar[str] = "uagan"
