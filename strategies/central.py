"""Central training as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class Central(MethodStrategy):
    """One whole conditional GAN a domain, on the images of all of its clients: in a simulation only.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "central"
