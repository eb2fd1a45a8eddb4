"""FedGen as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class FedGen(MethodStrategy):
    """Federated training of classifiers that differ, with a generator of features at the server.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "fedgen"
