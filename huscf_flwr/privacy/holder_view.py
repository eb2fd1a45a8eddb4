"""What somebody knows who is given a generator after a round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from huscf_flwr.models import Sampler


@dataclass(frozen=True)
class HolderView:
    """A generator, and nothing that crossed: what ``huscf sample`` draws from, for whoever has it.

    Whoever attacks by it may know beside that how the run was configured, its seed, and how long it trained.
    """

    tensors: Mapping[str, Tensor]
    """Of the generator, by name; no discriminator is among them."""
    sampler: Sampler
    """Draws labelled images from it."""
