"""What is odd about labelled images, in sentences; ``huscf data check`` and every run tell it."""

from __future__ import annotations

import hashlib
import itertools
import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from huscf_flwr.data.formats.pictures import SUFFIXES
from huscf_flwr.data.images import LabelledImages
from huscf_flwr.data.progress import counted
from huscf_flwr.naming import by_count, first_few

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
_MOST_SHOWN = 3


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
    looked_up = _LookedUp.of(train, "training"), _LookedUp.of(test, "test")
    copies_odd, copies_facts = _of_copies(*looked_up)
    odd = (
        *_of_range(parts),
        *_of_constants(parts),
        *_of_labels(train, test, classes, names),
        *_of_labels_apart(*looked_up, names),
        *copies_odd,
        *_of_size(train, test, names),
    )
    return Findings(odd, (*_of_sides(train), *copies_facts))


def _of_range(parts: dict[str, LabelledImages]) -> list[str]:
    ends = {part: int(data.images.max()) for part, data in parts.items()}
    lowest, highest = min(ends.values()), max(ends.values())
    if highest > _DIFFERENT * lowest:
        each = " and ".join(f"{part} pixels end at {end}" for part, end in ends.items())
        return [f"{each}: bring both parts to the same range, from 0 to 255"]
    if 0 < highest <= _NARROW:
        return [f"pixels end at {highest}, not at 255: multiply them by {255 // highest}"]
    return []


def _of_sides(train: LabelledImages) -> list[str]:
    height, width = train.images.shape[2:]
    if height == width:
        return []
    return [
        f"images of {height} x {width} pixels, height first, are not square: a run pads them with black, or "
        "crops or stretches them, as data.fit says"
    ]


def _of_constants(parts: dict[str, LabelledImages]) -> list[str]:
    found = []
    for part, data in parts.items():
        flat = data.images.flatten(1)
        constant = int((flat.amin(dim=1) == flat.amax(dim=1)).sum())
        if constant:
            have, them = by_count(constant, "image has", "images have"), by_count(constant, "it", "them")
            found.append(f"{constant:,} {part} {have} the same value in every pixel: remove {them}")
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
    found += _of_names_alike(names)
    if len(train) > 1 and int(trained.sum()) == 1:
        found.append(_of_one_class(train, _named(trained, names)))
    return found


def _of_one_class(train: LabelledImages, name: str) -> str:
    """Return what to say of images that all have one label: of pictures, the name of their folder."""
    if train.origins is not None and train.origins.name(0).casefold().endswith(SUFFIXES):
        return (
            f"one class only, {name}: a folder of pictures needs one folder for each class; labels that "
            "stand in a table are not read"
        )
    return f"all training images have the label {name}: were other numbers taken for labels?"


def _of_names_alike(names: Sequence[str]) -> list[str]:
    """Return what to say of classes that are mostly one, called in two ways; letters may be two classes."""
    alike: dict[str, list[str]] = {}
    for name in names:
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if len(plain) > 1:
            alike.setdefault(plain, []).append(name)
    return [
        f"classes {' and '.join(map(repr, same))} look the same but for capitals, spaces or forms of "
        "letters: if they are one class, give them one name"
        for same in alike.values()
        if len(same) > 1
    ]


@dataclass(frozen=True)
class _LookedUp:
    """A part's images, which are found by their pixels.

    Attributes:
        data: the images.
        part: what the part is called.
        digests: of each image's pixels, [N].
        first: by digest, the place of the first image with it.
    """

    data: LabelledImages
    part: str
    digests: list[bytes]
    first: dict[bytes, int]

    @classmethod
    def of(cls, data: LabelledImages, part: str) -> _LookedUp:
        """Look at all images of a part."""
        digests = _digests(data)
        first: dict[bytes, int] = {}
        for place, digest in enumerate(digests):
            first.setdefault(digest, place)
        return cls(data, part, digests, first)

    def called(self, image: int) -> str:
        """Return what an image is called."""
        origins = self.data.origins
        return f"{self.part} image {image}" if origins is None else origins.name(image)


def _of_copies(train: _LookedUp, test: _LookedUp) -> tuple[list[str], list[str]]:
    """Return what is odd about images that are there twice, and what is a fact."""
    odd: list[str] = []
    facts: list[str] = []
    shared = [(place, train.first[each]) for place, each in enumerate(test.digests) if each in train.first]
    if shared:
        such = _such_as((test.called(ours), train.called(theirs)) for ours, theirs in shared)
        are = by_count(len(shared), "is a training image", "are training images")
        odd.append(
            f"{len(shared):,} of {len(test.data):,} test images {are} too, such as {such}: scores on "
            f"{by_count(len(shared), 'it', 'them')} mean little"
        )
    for each in (train, test):
        pairs = ((place, each.first[digest]) for place, digest in enumerate(each.digests))
        repeated = [(place, first) for place, first in pairs if first != place]
        if repeated:
            such = _such_as((each.called(one), each.called(other)) for one, other in repeated)
            told = odd if len(repeated) > _SHARE_REPEATED * len(each.data) else facts
            are = by_count(len(repeated), "is a copy of another", "are copies of others")
            copies = f"{len(repeated):,} of {len(each.data):,} {each.part} images {are}"
            told.append(f"{copies} of them, such as {such}")
    return odd, facts


def _of_labels_apart(train: _LookedUp, test: _LookedUp, names: Sequence[str]) -> list[str]:
    """Return what to say of images that are there with several labels, in one part or in both."""
    labels = {part.part: part.data.labels.tolist() for part in (train, test)}
    others: dict[bytes, tuple[_LookedUp, int]] = {}
    for part in (train, test):
        for place, digest in enumerate(part.digests):
            origin = train if digest in train.first else test
            if labels[part.part][place] != labels[origin.part][origin.first[digest]]:
                others.setdefault(digest, (part, place))
    if not others:
        return []

    def told(part: _LookedUp, place: int) -> str:
        return f"{part.called(place)} is {_name(labels[part.part][place], names)}"

    def of_first(digest: bytes) -> str:
        origin = train if digest in train.first else test
        return told(origin, origin.first[digest])

    such = _such_as((of_first(digest), told(*other)) for digest, other in others.items())
    are = by_count(len(others), "image is", "images are")
    return [
        f"{len(others):,} {are} there with several labels, such as {such}: nobody can learn both; remove "
        "what is wrong"
    ]


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
            f"{len(test)} test {by_count(len(test), 'image', 'images')}, fewer than {FEW_TO_TEST}: scores "
            f"may be off by {points} points by chance"
        )
    if bytes_held > _MANY_BYTES:
        found.append(f"the images take {bytes_held / 2**30:.1f} GiB of memory in every process")
    return found


def _digests(data: LabelledImages) -> list[bytes]:
    images = counted(data.images.numpy(), len(data), "looking for images that are there twice")
    return [hashlib.blake2b(image, digest_size=16).digest() for image in images]


def _such_as(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the first of many pairs of images, so that somebody can look at them."""
    return "; ".join(f"{one} and {other}" for one, other in itertools.islice(pairs, _MOST_SHOWN))


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else str(label)


def _named(which: torch.Tensor, names: Sequence[str]) -> str:
    """Return the names of classes by a truth for each label; of many, the first."""
    labels = torch.nonzero(which).flatten().tolist()
    return first_few([_name(label, names) for label in labels], _MOST_NAMED)
