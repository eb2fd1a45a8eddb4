"""Settings of FedProto."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from huscf_flwr.config import MethodSettings


class FedProtoSettings(MethodSettings):
    """How class means are averaged, and how strongly they attract.

    Attributes:
        weight: weight of the mean squared difference between an image's features and the global mean of its
            class, beside the cross entropy. The official code has 1 (there called ``ld``), HtFLlib 10.
        means: how means of several clients for one class are averaged: by the number of images that each has
            of it (``counts``), or all alike (``clients``), as the official code and HtFLlib do. The server is
            told these numbers only for ``counts``; it always learns which classes a client has.
    """

    section: ClassVar[str] = "fedproto"

    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    means: Literal["counts", "clients"] = "counts"
