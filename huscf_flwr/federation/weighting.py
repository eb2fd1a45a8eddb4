"""How much each client's model counts in an average.

FedAvg weights clients by their number of samples. HuSCF-GAN also considers how far a client's activations are
from those of its peers: the more typical a client is, the more it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Weighting(Protocol):
    """Turns the sample counts and divergences of the clients in one average into their weights."""

    def __call__(self, samples: Tensor, divergences: Tensor) -> Tensor:
        """Return weights [K], float64, not negative, that sum to one.

        Args:
            samples: [K], each client's number of training samples.
            divergences: [K], each client's divergence from the others.
        """
        ...


@dataclass(frozen=True)
class KLDWeighting:
    """Weights proportional to n_k exp(-beta KL_k) (HuSCFGAN.py:219-348).

    Attributes:
        beta: how strongly divergence counts against a client; zero gives FedAvg. The authors' is fixed at
            one (``alpha``, train.py:164), with which their divergence changes a weight by less than one
            per cent.
    """

    beta: float

    def __post_init__(self) -> None:
        if not 0 <= self.beta < float("inf"):
            raise ValueError(f"beta is {self.beta}: give a finite number, zero or more")

    def __call__(self, samples: Tensor, divergences: Tensor) -> Tensor:
        """Return the weights [K], computed in log space so that large divergences do not underflow.

        Raises:
            ValueError: see ``check_clients``.
        """
        check_clients(samples, divergences)
        return torch.softmax(samples.double().log() - self.beta * divergences.double(), dim=0)


@dataclass(frozen=True)
class SampleWeighting:
    """FedAvg: weights proportional to n_k, independent of divergences (McMahan et al., 2017)."""

    def __call__(self, samples: Tensor, divergences: Tensor) -> Tensor:
        """Return the weights [K].

        Raises:
            ValueError: see ``check_clients``.
        """
        check_clients(samples, divergences)
        return samples.double() / samples.double().sum()


def check_clients(samples: Tensor, divergences: Tensor) -> None:
    """Check the input of a weighting.

    Raises:
        ValueError: the two differ in shape or are not [K], K is zero, a count is negative or all are
            zero, or a divergence is not finite.
    """
    if samples.dim() != 1 or samples.shape != divergences.shape or len(samples) == 0:
        raise ValueError(
            f"samples {list(samples.shape)} and divergences {list(divergences.shape)} must both be [K], "
            "with at least one client"
        )
    if bool((samples < 0).any()) or not bool((samples > 0).any()):
        raise ValueError(f"sample counts are {samples.tolist()}: none may be negative, one must be positive")
    if not bool(divergences.isfinite().all()):
        raise ValueError(f"divergences are not all finite: {divergences.tolist()}")
