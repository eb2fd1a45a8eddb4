"""FedGAN as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class FedGAN(MethodStrategy):
    """Federated training of a conditional GAN that every client keeps whole.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "fedgan"
