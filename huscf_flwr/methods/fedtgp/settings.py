"""Settings of FedTGP."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from huscf_flwr.config import MethodSettings


class FedTGPSettings(MethodSettings):
    """How the server trains prototypes, and how strongly they attract; the defaults are the official code's.

    Attributes:
        weight: weight of the mean squared difference between an image's features and the prototype of its
            class, beside the cross entropy.
        server_epochs: passes over the class means of a round in which the server trains prototypes.
        server_learning_rate: learning rate of the stochastic gradient descent, without momentum, that trains
            prototypes. In the official code it is always that of the clients, ``classifier.learning_rate``
            here.
        largest_margin: largest margin between classes: it grows with the distances of their means, up to
            this.
    """

    section: ClassVar[str] = "fedtgp"

    weight: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    server_epochs: PositiveInt = 100
    server_learning_rate: PositiveFloat = 0.01
    largest_margin: float = Field(default=100.0, ge=0, allow_inf_nan=False)
