"""Settings of central training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from huscf_flwr.config import MethodSettings


class CentralSettings(MethodSettings):
    """How a domain's GAN is trained.

    Attributes:
        batch_size: images in a batch. It stands for the batches of several clients, which HuSCF-GAN's bodies
            see together.
    """

    section: ClassVar[str] = "central"

    batch_size: int = Field(default=128, ge=2)
