"""GeFL as a Flower Strategy."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.flower.strategy import MethodStrategy


class GeFL(MethodStrategy):
    """A generator of images that is trained together, and classifiers that differ and learn from it.

    Its parameters are those of ``MethodStrategy``.
    """

    method_name: ClassVar = "gefl"
