"""What is odd about labelled images, in sentences; ``huscf data check`` and every run tell it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from huscf_flwr.data.images import LabelledImages
from huscf_flwr.data.progress import counted

FEW_A_CLASS = 50
"""Conditional GANs have been measured down to so many a class, a tenth of CIFAR-100, and were poor there.

Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training" (arXiv 2006.10738).
"""
FEW_TO_TEST = 100
"""The standard deviation of an accuracy is at most 0.5 / sqrt(n): 5 points of so many images."""
_MANY_BYTES = 4 * 2**30
_SHARE_REPEATED = 0.01
"""Collections that everybody uses have a few copies in thousands, and nobody's results suffer from them."""
_NARROW = 16
"""Pixels that end here or below were made for another range: bits, four bits, scikit-learn's digits."""
_DIFFERENT = 2
"""How many times as far as one part's pixels another's may go: more is another range, not other pictures."""
_MOST_NAMED = 12


@dataclass(frozen=True)
class Findings:
    """What a look at images has found, a sentence each.

    Attributes:
        odd: what to be warned of, most serious first.
        facts: what is worth knowing, and may well be as it should.
    """

    odd: tuple[str, ...]
    facts: tuple[str, ...]


def findings(
    train: LabelledImages, test: LabelledImages, classes: int, names: Sequence[str] = ()
) -> Findings:
    """Look at all images of a set.

    Args:
        train: the training images, at least one.
        test: the test images, perhaps none.
        classes: number of classes.
        names: of the classes by label, perhaps none.
    """
    parts = {"training": train, "test": test} if len(test) else {"training": train}
    copies_odd, copies_facts = _of_copies(train, test)
    odd = (
        *_of_range(parts),
        *_of_constants(parts),
        *_of_labels(train, test, classes, names),
        *copies_odd,
        *_of_size(train, test, names),
    )
    return Findings(odd, tuple(copies_facts))


def _of_range(parts: dict[str, LabelledImages]) -> list[str]:
    ends = {part: int(data.images.max()) for part, data in parts.items()}
    lowest, highest = min(ends.values()), max(ends.values())
    if highest > _DIFFERENT * lowest:
        each = " and ".join(f"{part} pixels end at {end}" for part, end in ends.items())
        return [f"{each}: bring both parts to the same range, from 0 to 255"]
    if 0 < highest <= _NARROW:
        return [f"pixels end at {highest}, not at 255: multiply them by {255 // highest}"]
    return []


def _of_constants(parts: dict[str, LabelledImages]) -> list[str]:
    found = []
    for part, data in parts.items():
        flat = data.images.flatten(1)
        constant = int((flat.amin(dim=1) == flat.amax(dim=1)).sum())
        if constant:
            found.append(f"{constant:,} {part} images have the same value in every pixel: remove them")
    return found


def _of_labels(train: LabelledImages, test: LabelledImages, classes: int, names: Sequence[str]) -> list[str]:
    trained = train.labels.bincount(minlength=classes) > 0
    tested = test.labels.bincount(minlength=classes) > 0
    absent = {
        "classes that only test images have: {}; nobody can learn to draw them": tested & ~trained,
        "classes without images: {}; they are drawn and judged all the same, and cost score": ~tested
        & ~trained,
        "classes without test images: {}; nothing says how well they are drawn": trained
        & ~tested
        & bool(len(test)),
    }
    found = [said.format(_named(which, names)) for said, which in absent.items() if which.any()]
    if len(train) > 1 and int(trained.sum()) == 1:
        found.append(
            f"all training images have the label {_named(trained, names)}: were other numbers taken for "
            "labels?"
        )
    return found


def _of_copies(train: LabelledImages, test: LabelledImages) -> tuple[list[str], list[str]]:
    """Return what is odd, and what is a fact."""
    own, others = Counter(_digests(train)), Counter(_digests(test))
    shared = sum(count for digest, count in others.items() if digest in own)
    odd: list[str] = []
    facts: list[str] = []
    if shared:
        odd.append(
            f"{shared:,} of {len(test):,} test images are training images too: scores on them mean little"
        )
    for part, data, digests in (("training", train, own), ("test", test, others)):
        repeated = len(data) - len(digests)
        if repeated:
            told = odd if repeated > _SHARE_REPEATED * len(data) else facts
            told.append(f"{repeated:,} of {len(data):,} {part} images are copies of others of them")
    return odd, facts


def _of_size(train: LabelledImages, test: LabelledImages, names: Sequence[str]) -> list[str]:
    counts = train.labels.bincount()
    few = (counts > 0) & (counts < FEW_A_CLASS)
    bytes_held = train.images.numel() + test.images.numel()
    found = []
    if few.any():
        which = "every class" if int(few.sum()) == int((counts > 0).sum()) else _named(few, names)
        found.append(
            f"fewer than {FEW_A_CLASS} training images of {which}: too few to learn from, unless other "
            "clients have more"
        )
    if 0 < len(test) < FEW_TO_TEST:
        points = math.ceil(50 / math.sqrt(len(test)))
        found.append(
            f"{len(test)} test images, fewer than {FEW_TO_TEST}: scores may be off by {points} points by "
            "chance"
        )
    if bytes_held > _MANY_BYTES:
        found.append(f"the images take {bytes_held / 2**30:.1f} GiB of memory in every process")
    return found


def _digests(data: LabelledImages) -> list[bytes]:
    images = counted(data.images.numpy(), len(data), "looking for images that are there twice")
    return [hashlib.blake2b(image, digest_size=16).digest() for image in images]


def _named(which: torch.Tensor, names: Sequence[str]) -> str:
    """Return the names of classes by a truth for each label; of many, the first."""
    labels = torch.nonzero(which).flatten().tolist()
    known = [names[label] if label < len(names) else str(label) for label in labels[:_MOST_NAMED]]
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return ", ".join(known) + more
