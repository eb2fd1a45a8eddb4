"""What somebody knows who is given a generator, and nothing else of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from huscf_flwr.models import Sampler
from huscf_flwr.privacy.evidence import Evidence


@dataclass(frozen=True)
class HolderView:
    """A generator as it is after a round: what ``huscf sample`` draws from, for whoever has it."""

    tensors: Mapping[str, Tensor]
    """Of the generator, by name; no discriminator is among them."""
    sampler: Sampler
    """Draws labelled images from it."""

    @classmethod
    def of(cls, evidence: Evidence, client: int) -> HolderView | None:
        """Return the generator of a client's cluster, or its own; None if it has none after the round."""
        method = evidence.method
        product = method.judged_for([client])
        if product is None:
            return None
        return cls(product.tensors, type(method).sampler(evidence.config, product.tensors))
