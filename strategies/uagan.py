"""UA-GAN as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class UAGAN(MethodStrategy):
    """One generator on the server, which learns from all clients' discriminators as from one.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "uagan"
