"""The attacks of a server that follows the protocol and is curious, on one client in one round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from huscf_flwr.models import BlockKey
from huscf_flwr.privacy.attacks.closed_form import Reconstruction
from huscf_flwr.privacy.attacks.inversion import invert_head
from huscf_flwr.privacy.attacks.known_plaintext import invert_by_fakes
from huscf_flwr.privacy.attacks.labels import labels_of_fakes, labels_that_moved, reads_labels
from huscf_flwr.privacy.view import ServerView
from huscf_flwr.session import Direction
from huscf_flwr.split import DISCRIMINATE, GENERATE


@dataclass(frozen=True)
class SeenStep:
    """One step of a client's round, as a curious server sees it; what it works out from it is kept."""

    view: ServerView
    step: int

    @cached_property
    def head_outputs(self) -> tuple[Tensor, Tensor]:
        """What the discriminator's head made of fakes and of real images, [B, channels, h, w] each."""
        fake, real = self.view.saw(self.step, DISCRIMINATE, "up")
        return fake.float(), real.float()

    @cached_property
    def fakes(self) -> Tensor:
        """The fakes [B, C, H, W], as the generator's tail of the round's beginning makes them."""
        (tail_input,) = self.view.saw(self.step, GENERATE, "down")
        with torch.no_grad():
            fakes: Tensor = self.view.tail("generator")(tail_input.float())
        return fakes

    @cached_property
    def fake_labels(self) -> Tensor:
        """A3: the fakes' labels [B], from exchange 1, or if its head is too long, from exchange 2."""
        head = self.view.head("generator")
        if len(head) == 1 and reads_labels(head.at(0)):
            return labels_of_fakes(head.at(0), self.view.saw(self.step, GENERATE, "up")[0])
        return invert_head(
            self.view.head("discriminator"), self.head_outputs[0], self.view.image_shape
        ).labels

    @property
    def real_labels(self) -> Tensor | None:
        """A3: the labels [B] of the real batch, those of the fakes; None if these have their own."""
        return self.fake_labels if self.view.fakes_have_real_labels else None

    @property
    def guessed_labels(self) -> Tensor | None:
        """A3 where no activation of a real image crosses: the fakes' labels [B], though they are others.

        None if the generator's head is too long to read them.
        """
        head = self.view.head("generator")
        return self.fake_labels if len(head) == 1 and reads_labels(head.at(0)) else None


Attack = Callable[[SeenStep], Reconstruction]
"""Returns the real batch of a step, from what was seen of it."""


def invert(seen: SeenStep) -> Reconstruction:
    """A1: invert the discriminator's head with the weights that the round began with."""
    view = seen.view
    return invert_head(
        view.head("discriminator"),
        seen.head_outputs[1],
        view.image_shape,
        seen.real_labels,
        obscured=view.obscured,
    )


def invert_with_fakes(seen: SeenStep) -> Reconstruction:
    """A2: work out from the fakes what the head is in this step, and invert that."""
    view = seen.view
    return invert_by_fakes(
        view.head("discriminator"),
        seen.fakes,
        seen.fake_labels,
        *seen.head_outputs,
        view.image_shape,
        real_labels=seen.real_labels,
        obscured=view.obscured,
    )


SHOWS_LABELS: tuple[str, Direction] = (GENERATE.name, "up")
"""What tells the labels of fakes, in every step."""


def mix_of_fakes(view: ServerView) -> Tensor | None:
    """A3: return how often a client has each label [C], counted in exchange 1 over a whole round.

    Fakes have the labels of its images, or labels drawn as often. None if they have labels of their own, if
    nothing was kept throughout, or if the generator's head is too long to read them.
    """
    head, shown = view.head("generator"), view.transcript.throughout.get(SHOWS_LABELS, [])
    if view.fakes_have_absent_labels or not shown or len(head) > 1 or not reads_labels(head.at(0)):
        return None
    labels = torch.cat([labels_of_fakes(head.at(0), output) for (output,) in shown])
    counts = torch.bincount(labels, minlength=view.spec.classes).double()
    return counts / counts.sum()


ATTACKS: dict[str, Attack] = {"A1": invert, "A2": invert_with_fakes}
"""Attacks on images, by name."""


def label_set(view: ServerView) -> set[int] | None:
    """A3: return the labels that the client has, by the rows of its embedding that moved.

    None if there is nothing to see: where fakes have labels that the client lacks, all rows move.
    """
    key: BlockKey = ("discriminator", 0)
    is_conditional = view.head("discriminator").at(0).spec.conditional
    if key not in view.uploaded or not is_conditional or view.fakes_have_absent_labels:
        return None
    return labels_that_moved(view.sent[key], view.uploaded[key])
