"""Settings of FedType-style training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from huscf_flwr.config import MethodSettings


class FedTypeSettings(MethodSettings):
    """How proxy and private model learn from each other.

    ``miss``, ``free`` and both penalties have the values of the public code for the paper (arXiv 2407.03247).
    The other defaults are ours.

    Attributes:
        proxy: which member of ``classifier.family`` the proxy is, from zero.
        distillation: weight of the proxy's divergence from the private model, beside its cross entropy.
        ranking: weight of what the private model learns from the proxy's sets, beside its cross entropy; it
            is multiplied by how much the sets of both have in common.
        temperature: number by which the logits are divided in the divergence of ``distillation``.
        miss: share of images whose true class may be missing in the set of classes that a model predicts.
        free: number of classes in a predicted set that cost nothing.
        proxy_penalty: cost of each class above ``free`` in sets that the proxy predicts.
        private_penalty: cost of each class above ``free`` in sets that the private model predicts.
    """

    section: ClassVar[str] = "fedtype"

    proxy: NonNegativeInt = 0
    distillation: NonNegativeFloat = 1.0
    ranking: NonNegativeFloat = 1.0
    temperature: PositiveFloat = 1.0
    miss: float = Field(default=0.1, gt=0, lt=1)
    free: NonNegativeInt = 5
    proxy_penalty: NonNegativeFloat = 0.5
    private_penalty: NonNegativeFloat = 1.0
