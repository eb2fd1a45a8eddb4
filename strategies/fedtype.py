"""FedType-style training as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class FedType(MethodStrategy):
    """Classifiers that differ, and small proxies of one architecture, which are averaged in their place.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "fedtype"
