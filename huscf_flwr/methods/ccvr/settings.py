"""Settings of CCVR."""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from huscf_flwr.config import MethodSettings


class CCVRSettings(MethodSettings):
    """How the head is calibrated after the last round.

    Attributes:
        virtual: number of features that are drawn for each class.
        epochs: passes over the drawn features, with learning rate, momentum and batches of the clients. The
            number is ours.
    """

    section: ClassVar[str] = "ccvr"

    virtual: PositiveInt = 200
    epochs: PositiveInt = 10
