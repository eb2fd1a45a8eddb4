"""Reading a folder that has a part for each who holds images: a speaker, a writer, a hospital.

Every file or folder directly in it is one holder's images, in any format that is known. All together are one
domain, and of every training image it is known who has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from huscf_flwr.data.formats.damage import Damage
from huscf_flwr.data.formats.found import Found, ImageShape, Wanted, usual_of
from huscf_flwr.data.formats.pictures import surveyed
from huscf_flwr.data.formats.places import (
    check_first,
    class_names_of_place,
    classes_of_place,
    read_parts,
    shape_of_place,
    split_note,
    without_test_share,
)
from huscf_flwr.data.images import DataError, LabelledImages, together
from huscf_flwr.data.progress import counted
from huscf_flwr.naming import by_count

_NOTES = 3
"""So many are told whole."""


def parts_of(folder: Path) -> tuple[Path, ...]:
    """Return the holders' files and folders, in the order of their names; hidden ones are none.

    Raises:
        DataError: if ``folder`` is not a folder, or is empty.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder, but by_holder is true: give one with a part for each holder"
        )
    parts = tuple(sorted(path for path in folder.iterdir() if not path.name.startswith(".")))
    if not parts:
        raise DataError(f"{folder}: nothing in it; give a folder with a file or folder for each holder")
    return parts


def read_holders(folder: Path, wanted: Wanted, *, split_test: bool = True) -> Found:
    """Return the images of all holders, one's after the other's; the arguments are those of ``read_place``.

    A holder may lack classes: they are counted over all. One with too few images to test with has them all to
    train on.

    Raises:
        DataError: as ``read_place`` and ``parts_of`` do, or if images of two holders differ in shape, or some
            holders have a test part and others have none.
    """
    parts, own = parts_of(folder), replace(wanted, is_part=True)
    found, damage = [], Damage(folder)
    for part in counted(parts, len(parts), f"reading holders of {folder}"):
        with damage.gathered():
            found.append(read_parts(part, own))
    damage.refuse()
    with_test = [each.test is not None for each in found]
    if any(with_test) and not all(with_test):
        raise DataError(
            f"{parts[with_test.index(False)]}: no test part, but other holders have one; give it one"
        )
    names = _names(folder, [each.class_names for each in found], wanted)
    found = [_relabelled(each, names) for each in found]
    notes = _few([note for each in found for note in each.notes])
    if not any(with_test) and split_test:
        found = [_with_test_share(each) for each in found]
    trains, tests = [each.train for each in found], [each.test for each in found if each.test is not None]
    train = _joined(folder, trains)
    holders = torch.repeat_interleave(torch.tensor([len(each) for each in trains]))
    shape = usual_of([each.shape or ImageShape(*each.train.images.shape[1:]) for each in found])
    train = replace(train, holders=holders)
    classes = max(each.classes for each in found)
    whole = replace(found[0], train=train, class_names=names, notes=notes, shape=shape, classes=classes)
    check_first(folder, whole, wanted)
    if not tests:
        return whole
    test = _joined(folder, tests)
    if any(with_test):
        return replace(whole, test=test)
    if not len(test):
        raise DataError(f"{folder}: no test part, and no holder has two images of a label; give it one")
    return replace(whole, test=test, notes=(*notes, split_note(folder, train, test)))


def shape_of_holders(folder: Path, wanted: Wanted = Wanted()) -> ImageShape:  # noqa: B008  (frozen)
    """Return the usual shape of the holders' training images: colour if any are, and medians of their sides.

    At most some hundreds of holders, spread evenly, are looked at.
    """
    parts, own = parts_of(folder), replace(wanted, is_part=True)
    looked_at = [parts[place] for place in surveyed(len(parts))]
    told = counted(looked_at, len(looked_at), f"looking at holders of {folder}")
    return usual_of([shape_of_place(part, own) for part in told])


def classes_of_holders(folder: Path, wanted: Wanted) -> int:
    """Return the number of classes of all holders together."""
    parts, own = parts_of(folder), replace(wanted, is_part=True)
    names = _names(folder, [class_names_of_place(part, own) for part in parts], wanted)
    return len(names) or max(classes_of_place(part, own) for part in parts)


def _joined(folder: Path, parts: Sequence[LabelledImages]) -> LabelledImages:
    shapes = {tuple(part.images.shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise DataError(
            f"{folder}: images of its parts have the shapes {sorted(shapes)} (channels, height, width); "
            "bring them to one, or name each part as a domain of its own"
        )
    return together(parts)


def _names(folder: Path, by_part: Sequence[tuple[str, ...]], wanted: Wanted) -> tuple[str, ...]:
    """Return the names of all classes: those of each holder, or, where they differ, all by the alphabet.

    Raises:
        DataError: if some holders have names and others numbers, or there are not as many as are wanted.
    """
    first, *others = dict.fromkeys(by_part)
    if others and () in (first, *others):
        raise DataError(
            f"{folder}: some of its parts have names of classes, others only numbers; give class_names with "
            "the domain"
        )
    names = tuple(sorted({name for each in by_part for name in each})) if others else first
    if names and wanted.classes not in (None, len(names)):
        raise DataError(
            f"{folder}: {len(names)} {by_count(len(names), 'class', 'classes')} ({', '.join(names)}), but "
            f"there are {wanted.classes}: which label each has depends on all names; say them in "
            "order, class_names with the domain (huscf data: --class-names)"
        )
    return names


def _relabelled(found: Found, names: tuple[str, ...]) -> Found:
    """Return a holder's images with the labels that its classes have among all ``names``."""
    if found.class_names == names:
        return found
    labels = torch.tensor([names.index(name) for name in found.class_names])
    test = None if found.test is None else replace(found.test, labels=labels[found.test.labels])
    return replace(found, train=replace(found.train, labels=labels[found.train.labels]), test=test)


def _with_test_share(found: Found) -> Found:
    train, test = without_test_share(found.train)
    return replace(found, train=train, test=test)


def _few(notes: Sequence[str]) -> tuple[str, ...]:
    """Return the first notes, and how many more there are: there may be thousands of holders."""
    more = len(notes) - _NOTES
    told = f"and {more} {by_count(more, 'note', 'notes')} like these"
    return (*notes[:_NOTES], told) if more > 0 else tuple(notes)
