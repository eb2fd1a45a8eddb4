"""What is odd about labelled images, in sentences; ``huscf data check`` and every run tell it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import torch

from huscf_flwr.data.images import LabelledImages
from huscf_flwr.data.progress import counted

_FEW_A_CLASS = 5
_MANY_BYTES = 4 * 2**30
_SHARE_REPEATED = 0.01
_NARROW = (1, 15)
"""Largest values of pixels that were made for another range: bits, and scikit-learn's digits."""


def findings(
    train: LabelledImages, test: LabelledImages, classes: int, names: Sequence[str] = ()
) -> list[str]:
    """Return what is odd, most serious first, a sentence each; nothing if nothing is.

    Args:
        train: the training images.
        test: the test images, perhaps none.
        classes: number of classes.
        names: of the classes by label, perhaps none.
    """
    return [
        *_of_pixels(train),
        *_of_labels(train, test, classes, names),
        *_of_copies(train, test),
        *_of_size(train),
    ]


def _of_pixels(train: LabelledImages) -> list[str]:
    highest = int(train.images.max())
    flat = train.images.flatten(1)
    constant = int((flat.amin(dim=1) == flat.amax(dim=1)).sum())
    found = []
    if highest in _NARROW:
        found.append(f"pixels end at {highest}, not at 255: multiply them by {255 // highest}")
    if constant:
        found.append(f"{constant:,} training images have the same value in every pixel: remove them")
    return found


def _of_labels(train: LabelledImages, test: LabelledImages, classes: int, names: Sequence[str]) -> list[str]:
    trained = train.labels.bincount(minlength=classes)
    tested = test.labels.bincount(minlength=classes)
    only_test = _named(torch.nonzero((trained == 0) & (tested > 0)), names)
    absent = _named(torch.nonzero((trained == 0) & (tested == 0)), names)
    found = []
    if only_test:
        found.append(f"classes that only test images have: {only_test}; nobody can learn to draw them")
    if absent:
        found.append(
            f"classes without images: {absent}; they are drawn and judged all the same, and cost score"
        )
    return found


def _of_copies(train: LabelledImages, test: LabelledImages) -> list[str]:
    own = Counter(_digests(train))
    repeated = len(train) - len(own)
    shared = sum(digest in own for digest in _digests(test))
    found = []
    if shared:
        found.append(
            f"{shared:,} of {len(test):,} test images are training images too: scores on them mean little"
        )
    if repeated > _SHARE_REPEATED * len(train):
        found.append(f"{repeated:,} of {len(train):,} training images are there more than once")
    return found


def _of_size(train: LabelledImages) -> list[str]:
    present = int((train.labels.bincount() > 0).sum())
    found = []
    if len(train) < _FEW_A_CLASS * present:
        found.append(f"{len(train)} training images of {present} classes are too few to learn from")
    if train.images.numel() > _MANY_BYTES:
        found.append(
            f"training images take {train.images.numel() / 2**30:.1f} GiB of memory in every process"
        )
    return found


def _digests(data: LabelledImages) -> list[bytes]:
    images = counted(data.images.numpy(), len(data), "looking for images that are there twice")
    return [hashlib.blake2b(image, digest_size=16).digest() for image in images]


def _named(labels: torch.Tensor, names: Sequence[str]) -> str:
    known = labels.flatten().tolist()
    return ", ".join(names[label] if label < len(names) else str(label) for label in known)
