"""A domain's images dealt to equal shares of the same mix of labels, the same in every run.

Shares do not depend on a run's seed: judges are trained on a domain's images once, and runs of different
seeds are judged by the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.seeding import torch_stream

_SEED = 0


def stratified_shares(labels: Tensor, count: int, *purpose: str) -> tuple[Tensor, ...]:
    """Deal images at random to ``count`` shares, of which each has about as many of every label.

    Args:
        labels: int64 [N].
        count: number of shares, at least one.
        purpose: names the random stream; with the same purpose and labels the shares are the same.

    Returns:
        For each share the positions of its images, int64, ascending. Every image is in exactly one share. The
        sizes of two shares differ by at most one, and so do their numbers of images of a label.
    """
    stream = torch_stream(_SEED, "shares", *purpose)
    shuffled = torch.randperm(len(labels), generator=stream)
    by_label = shuffled[labels[shuffled].argsort(stable=True)]
    return tuple(by_label[first::count].sort().values for first in range(count))
