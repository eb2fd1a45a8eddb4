"""Training alone as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class Local(MethodStrategy):
    """Every client trains a conditional GAN or a classifier alone, as ``local.task`` says.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "local"
