"""FedTGP as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class FedTGP(MethodStrategy):
    """Federated training of classifiers that differ, with global prototypes that the server trains.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "fedtgp"
