"""One decoder that draws each class as the decoders of those clients do that have its images.

A decoder trained on a few classes forgets the others, and an average of weights draws a class worse than
that of any client that has it. So the server lets the average learn what they draw. It needs no images, and
nothing that has not been uploaded anyway. Of a class that one client alone has, it learns that client's
drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from huscf_flwr.methods.fedvtc import losses
from huscf_flwr.methods.fedvtc.latents import GlobalStatistics
from huscf_flwr.models.decoders import Decoder
from huscf_flwr.models.optimisers import Adam, half_cosine

_IMAGES = 64
"""Images of a step."""
_SPREAD = 1.25
"""Vectors are so many times as far from the means as statistics say, so that outer ones are learned too."""
_ALIKE = 0.99


@dataclass(frozen=True)
class Teacher:
    """A decoder that a student learns from.

    Attributes:
        weights: of the decoder, on the student's device.
        means: [C, p], around which it was trained to draw each class.
        shares: [C], what part of each class it draws, relative to those of the others.
    """

    weights: Mapping[str, Tensor]
    means: Tensor
    shares: Tensor


def distil(
    student: Decoder,
    teachers: Sequence[Teacher],
    statistics: GlobalStatistics,
    *,
    steps: int,
    learning_rate: float,
    stream: torch.Generator,
) -> None:
    """Train ``student`` in place to draw what ``teachers`` draw.

    Means move from round to round: what a teacher draws at some distance from the mean that it knew, the
    student learns to draw at the same distance from the one of ``statistics``. Classes that nobody has a
    share of are left out.

    Args:
        student: the decoder that learns.
        teachers: decoders, of clients or of an earlier round; all tensors are on the device of the student.
        statistics: around which the student is to draw.
        steps: of Adam, whose learning rate falls from ``learning_rate`` to zero along a half cosine.
        learning_rate: of the first step.
        stream: of labels and vectors, a generator on the CPU.
    """
    shares = torch.stack([teacher.shares for teacher in teachers], 1)
    classes = (statistics.known & (shares.sum(1) > 0)).nonzero().squeeze(1)
    if not len(classes):
        return
    optimiser = Adam(student.parameters(), learning_rate, betas=(0.5, 0.999))
    for step in range(steps):
        optimiser.learning_rate = half_cosine(learning_rate, step, steps)
        labels = classes[torch.randint(len(classes), (_IMAGES,), generator=stream).to(classes.device)]
        offsets = statistics.offsets(labels, stream, spread=_SPREAD)
        who = teacher_of(_places(offsets, labels, statistics), shares[labels])
        targets = _drawn(student, teachers, who, labels, offsets)
        loss = losses.reconstruction(student(statistics.means[labels] + offsets), targets)
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


def _places(offsets: Tensor, labels: Tensor, statistics: GlobalStatistics) -> Tensor:
    """Return how far vectors are from the mean along the first direction in which their class spreads most.

    Whitened directions all spread alike, but for rounding, which is not to decide.
    """
    deviations = _SPREAD * statistics.deviations_of(labels).expand_as(offsets)
    widest = deviations > _ALIKE * deviations.amax(1, keepdim=True)
    direction = widest.long().argmax(1, keepdim=True)
    return (offsets / deviations).gather(1, direction).squeeze(1)


@torch.no_grad()
def _drawn(
    student: Decoder, teachers: Sequence[Teacher], who: Tensor, labels: Tensor, offsets: Tensor
) -> Tensor:
    rows, images = [], []
    for place in who.unique().tolist():  # type: ignore[no-untyped-call]
        teacher, own = teachers[place], (who == place).nonzero().squeeze(1)
        vectors = teacher.means[labels[own]] + offsets[own]
        rows.append(own)
        images.append(functional_call(student, dict(teacher.weights), (vectors,)))
    return torch.cat(images)[torch.cat(rows).argsort()]
