"""MD-GAN as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class MDGAN(MethodStrategy):
    """One generator on the server, and a discriminator on every client; discriminators are swapped.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "mdgan"
