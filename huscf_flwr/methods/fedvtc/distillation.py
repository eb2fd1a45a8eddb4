"""One decoder that draws each class as the decoders of those clients do that have its images.

A decoder trained on a few classes forgets the others, and an average of weights draws a class worse than
that of any client that has it. So the server lets the average learn what they draw. It needs no images, and
nothing that has not been uploaded anyway.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from huscf_flwr.methods.fedvtc import losses
from huscf_flwr.methods.fedvtc.latents import GlobalStatistics
from huscf_flwr.models.decoders import Decoder

_IMAGES = 64
"""Images of a step."""
_SPREAD = 1.25
"""Vectors are so many times as far from the means as features are, so that outer ones are learned too."""


def distil(
    student: Decoder,
    teachers: Sequence[Decoder],
    shares: Tensor,
    taught: GlobalStatistics,
    learned: GlobalStatistics,
    *,
    steps: int,
    learning_rate: float,
    stream: torch.Generator,
) -> None:
    """Train ``student`` in place to draw what ``teachers`` draw.

    Means may have moved since the teachers were trained: what a teacher draws at some distance from an old
    mean, the student learns to draw at the same distance from the new one.

    Args:
        student: the decoder that learns.
        teachers: decoders, of clients or of an earlier round.
        shares: [C, T], what part of each class each teacher draws, in any unit; classes in which nobody has
            a share are left out.
        taught: statistics around which the teachers were trained; where a class was unknown then, those of
            ``learned`` count.
        learned: statistics around which the student is to draw.
        steps: of Adam, whose learning rate falls from ``learning_rate`` to zero along a half cosine.
        learning_rate: of the first step.
        stream: of labels and vectors, a generator on the CPU.
    """
    classes = (learned.known & (shares.sum(1) > 0).to(learned.known.device)).nonzero().squeeze(1)
    if not len(classes):
        return
    means = torch.where(taught.known.unsqueeze(1), taught.means, learned.means)
    optimiser = torch.optim.Adam(student.parameters(), betas=(0.5, 0.999))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
        labels = classes[torch.randint(len(classes), (_IMAGES,), generator=stream)]
        offsets = learned.offsets(labels, stream, spread=_SPREAD)
        who = teacher_of(offsets[:, 0] / (_SPREAD * learned.deviations_of(labels)[..., 0]), shares[labels])
        targets = _drawn(teachers, who, means[labels] + offsets)
        loss = losses.reconstruction(student(learned.means[labels] + offsets), targets)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()


def teacher_of(places: Tensor, shares: Tensor) -> Tensor:
    """Return the teacher [N] of each vector, by its standard normal place [N] along one direction.

    The line is divided among the teachers so that each has its part, ``shares`` [N, T], of a normal
    distribution. If they were dealt by chance, the student would learn the mean of what two of them draw.
    """
    edges = (shares / shares.sum(1, keepdim=True)).double().cumsum(1)
    reached = torch.special.ndtr(places.double())
    who = (reached.unsqueeze(1) >= edges).sum(1)
    last = shares.shape[1] - 1 - (shares.flip(1) > 0).long().argmax(1)
    return torch.minimum(who, last)


@torch.no_grad()
def _drawn(teachers: Sequence[Decoder], who: Tensor, vectors: Tensor) -> Tensor:
    rows = [(who == teacher).nonzero().squeeze(1) for teacher in range(len(teachers))]
    images = [teachers[place](vectors[own]) for place, own in enumerate(rows) if len(own)]
    order = torch.cat([own for own in rows if len(own)])
    return torch.cat(images)[order.argsort()]
