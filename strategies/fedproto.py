"""FedProto as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class FedProto(MethodStrategy):
    """Federated training of classifiers of different architectures, which share class means.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "fedproto"
