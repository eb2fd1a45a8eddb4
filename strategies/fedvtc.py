"""FedVTC as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class FedVTC(MethodStrategy):
    """Federated training of different classifiers, which learn from what a shared decoder draws.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "fedvtc"
