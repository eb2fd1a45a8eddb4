"""CCVR as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class CCVR(MethodStrategy):
    """Classifiers that differ, whose heads are averaged and in the end calibrated on drawn features.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "ccvr"
