"""Settings of PFL-GAN-style training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt

from huscf_flwr.config import MethodSettings, RunConfig
from huscf_flwr.methods.first_rounds import FirstRounds, first_rounds


class PFLGANSettings(MethodSettings):
    """How clients are compared, and how the images of their generators are mixed.

    That the similarity of clients is learnt first, and their data are then aggregated with weights, is the
    paper's (arXiv 2308.12454). It has no public code: everything else here is our reading, and the defaults
    are ours.

    Attributes:
        local_rounds: rounds in which clients train on their own images, before the server trains each
            client's networks on images that it draws. ``half``: half of ``rounds``, rounded down, at least
            one. There is one phase after the other, rather than both in every round, since we take the
            paper's clients to hand their models over once.
        images: images that are drawn from each client's generator to compare clients.
        components: numbers into which an image is encoded. KL grows with them, and so should the
            temperature: with 8 it was half as large on the demo, and with 32 twice as large.
        temperature: weights of clients are exp(-KL / temperature), where KL is in nats, and are then scaled
            to add up to one for each client. Near zero each client is left with its own images; the larger it
            is, the more alike are the weights. On the demo, with seeds 10 and 11, KL after three local rounds
            was 1.0 to 3.5 within a domain and 23 to 30 between the two: with 3, a client's own images get
            about 0.4 of the weight, and all of the other domain's together less than 0.002.
    """

    section: ClassVar[str] = "pflgan"

    local_rounds: FirstRounds = "half"
    images: int = Field(default=500, ge=2)
    components: PositiveInt = 16
    temperature: float = Field(default=3.0, gt=0)


def local_rounds_of(config: RunConfig) -> int:
    """Return how many rounds come before the server trains."""
    return first_rounds(config, config.settings(PFLGANSettings).local_rounds)
