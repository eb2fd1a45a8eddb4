"""PFL-GAN-style training as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class PFLGAN(MethodStrategy):
    """A personal conditional GAN for each client, on images drawn from generators of clients like it.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "pflgan"
