"""Settings of MD-GAN."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, PositiveInt

from huscf_flwr.config import MethodSettings


def _batches(value: object) -> object:
    """Refuse in one sentence what is neither; pydantic would have one for each."""
    if value == "log" or (type(value) is int and value > 0):
        return value
    raise ValueError("write a number of batches, at least 1, or log")


class MDGANSettings(MethodSettings):
    """How fakes are shared out, and what happens to discriminators.

    Attributes:
        batches: how many batches of fakes the generator draws in a step: k in the paper, which runs 1 and
            ceil(log N) with N clients. ``log`` is the latter, with the natural logarithm and at least 1, of
            the clients in a round. It is the default because with k = 1 every client learns from and judges
            one and the same batch, while the method is described with two distinct ones. A number is taken
            as it is, but never more than there are clients, as in the paper.
        swap_every: number of epochs, which are rounds, between two swaps of the discriminators (E; 1 in the
            paper's runs).
        moments: what becomes of the optimiser's moments of a client that is given another discriminator. The
            paper does not say: only weights travel, so the client has ``kept`` the moments of its last one,
            or ``reset`` them.
        initialisation: discriminators begin with ``common`` weights, as the paper assumes "for simplicity",
            or each with its own (``per-client``), which the paper allows.
    """

    section: ClassVar[str] = "mdgan"

    batches: Annotated[PositiveInt | Literal["log"], BeforeValidator(_batches)] = "log"
    swap_every: PositiveInt = 1
    moments: Literal["kept", "reset"] = "kept"
    initialisation: Literal["common", "per-client"] = "common"
