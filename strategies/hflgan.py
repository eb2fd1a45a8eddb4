"""HFL-GAN-style training as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class HFLGAN(MethodStrategy):
    """A discriminator and two generators on each client, averaged within clusters and over all clients.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "hflgan"
