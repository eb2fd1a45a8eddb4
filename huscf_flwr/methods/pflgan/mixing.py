"""Images that the server draws from the generators of several clients; they never leave it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from huscf_flwr.data import LabelledImages
from huscf_flwr.data.images import denormalise
from huscf_flwr.models import Sampler

_IMAGES_AT_ONCE = 500


def drawn(sampler: Sampler, labels: Tensor, stream: torch.Generator) -> Tensor:
    """Draw images [N, channels, height, width], from -1 to 1, for ``labels`` [N], some at a time."""
    return torch.cat([sampler(part, stream) for part in torch.split(labels, _IMAGES_AT_ONCE)])


def mixed(
    samplers: Sequence[Sampler], weights: Tensor, count: int, *, classes: int, stream: torch.Generator
) -> LabelledImages:
    """Draw ``count`` images, each from one of K ``samplers``, which is drawn by their ``weights`` [K].

    All labels are equally likely, whatever the client that a generator is from has seen of them: the server
    is not told.
    """
    source = torch.multinomial(weights, count, replacement=True, generator=stream)
    labels = torch.randint(classes, (count,), generator=stream)
    order, parts = [], []
    for number in sorted(set(source.tolist())):
        chosen = (source == number).nonzero().flatten()
        order.append(chosen)
        parts.append(denormalise(drawn(samplers[number], labels[chosen], stream)))
    return LabelledImages(torch.cat(parts)[torch.cat(order).argsort()], labels)
