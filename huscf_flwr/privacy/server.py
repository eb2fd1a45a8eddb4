"""The attacks of a server that follows the protocol and is curious, on one client in one round."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from huscf_flwr.models import BlockKey
from huscf_flwr.privacy.attacks.closed_form import Reconstruction
from huscf_flwr.privacy.attacks.inversion import invert_head
from huscf_flwr.privacy.attacks.known_plaintext import invert_by_fakes
from huscf_flwr.privacy.attacks.labels import labels_of_fakes, labels_that_moved, reads_labels
from huscf_flwr.privacy.view import ServerView
from huscf_flwr.split import DISCRIMINATE, GENERATE

Attack = Callable[[ServerView, int], Reconstruction]
"""Returns the real batch of a step, from what was seen of it."""


def invert(view: ServerView, step: int) -> Reconstruction:
    """A1: invert the discriminator's head with the weights that the round began with."""
    fake_outputs, real_outputs = _head_outputs(view, step)
    known = _labels_of_fakes(view, step, fake_outputs) if view.fakes_have_real_labels else None
    return invert_head(view.head("discriminator"), real_outputs, view.spec.shapes("discriminator")[0], known)


def invert_with_fakes(view: ServerView, step: int) -> Reconstruction:
    """A2: work out from the fakes what the head is in this step, and invert that."""
    fake_outputs, real_outputs = _head_outputs(view, step)
    labels = _labels_of_fakes(view, step, fake_outputs)
    return invert_by_fakes(
        view.head("discriminator"),
        _fakes(view, step),
        labels,
        fake_outputs,
        real_outputs,
        view.spec.shapes("discriminator")[0],
        real_labels=labels if view.fakes_have_real_labels else None,
    )


ATTACKS: dict[str, Attack] = {"A1": invert, "A2": invert_with_fakes}
"""Attacks on images, by name."""


def real_labels(view: ServerView, step: int) -> Tensor | None:
    """A3: return the labels [B] of the real batch, those of the fakes; None if these have their own."""
    if not view.fakes_have_real_labels:
        return None
    return _labels_of_fakes(view, step, view.saw(step, DISCRIMINATE, "up")[0].float())


def label_set(view: ServerView) -> set[int] | None:
    """A3: return the labels that the client has, by the rows of its embedding that moved.

    None if there is nothing to see: fakes with labels of their own move all rows.
    """
    key: BlockKey = ("discriminator", 0)
    is_conditional = view.head("discriminator").at(0).spec.conditional
    if key not in view.uploaded or not is_conditional or not view.fakes_have_real_labels:
        return None
    return labels_that_moved(view.sent[key], view.uploaded[key])


def _head_outputs(view: ServerView, step: int) -> tuple[Tensor, Tensor]:
    fake, real = view.saw(step, DISCRIMINATE, "up")
    return fake.float(), real.float()


def _labels_of_fakes(view: ServerView, step: int, fake_outputs: Tensor) -> Tensor:
    """Return the fakes' labels: from exchange 1, or if its head is too long, from exchange 2."""
    head = view.head("generator")
    if len(head) == 1 and reads_labels(head.at(0)):
        return labels_of_fakes(head.at(0), view.saw(step, GENERATE, "up")[0])
    return invert_head(view.head("discriminator"), fake_outputs, view.spec.shapes("discriminator")[0]).labels


def _fakes(view: ServerView, step: int) -> Tensor:
    """Return the fakes of the step as the generator's tail of the round's beginning makes them."""
    (tail_input,) = view.saw(step, GENERATE, "down")
    with torch.no_grad():
        fakes: Tensor = view.tail("generator")(tail_input.float())
    return fakes
