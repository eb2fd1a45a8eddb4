"""Domains: the data sets that clients' images come from.

A domain has a name, and its images come from the first of these that exists: the folder that the user gives
with the name; the folder below ``data.root`` with a matching name (case, hyphens and underscores are ignored,
so ``fashion-mnist`` matches ``FashionMNIST``), or one in a folder of it (``pacs-photo`` matches
``PACS/photo``); the loader registered under the name; the domain that it is derived from, as
``mnist-inverted`` is from ``mnist``, or the two that ``mnist-over-cifar10`` is (see ``derived.py``). Instead
of a folder it may be a file, in any of the formats that ``formats.places`` knows, or a data set on Hugging
Face's hub.

The domains of a run share no training image. A domain and those derived from it are dealt equal shares of its
training images, a domain that is alone has all of them; the test images are the same for all.

All domains use the labels 0..classes-1: label 3 is a digit in one domain and a dress, a kana or the letter D
in another, as in the authors' code (Metrics/evaluation.py:102-103, 149). A network cannot tell which domain a
label refers to, so clients of different domains must be clustered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch

import huscf_flwr.data.builtin  # noqa: F401  (registers the built-in domains)
from huscf_flwr.data.below_root import place_below, plain
from huscf_flwr.data.derived import Derivation, laid_over, transformed
from huscf_flwr.data.domain_source import (
    DomainSource,
    Named,
    check_applies,
    derivation_of,
    named_sources,
    place_of_source,
    source_named,
)
from huscf_flwr.data.findings import findings
from huscf_flwr.data.formats.found import (
    Found,
    ImageShape,
    OtherClassesError,
    VariedSizesError,
    Wanted,
    form_notes,
)
from huscf_flwr.data.formats.holders import read_holders
from huscf_flwr.data.formats.places import read_place
from huscf_flwr.data.images import DataError, Fit, ImageForm, LabelledImages, convert
from huscf_flwr.data.registry import registered_domain
from huscf_flwr.data.shares import stratified_shares
from huscf_flwr.data.unknown_domain import unknown_domain
from huscf_flwr.naming import by_count

JudgedOn = Literal["test", "validation"]
"""Which images a run is judged on; see ``DataSection.judged_on``."""

_VALIDATION_PART = 5
"""One image of so many is for validation."""


@dataclass(frozen=True, eq=False)
class Domain:
    """A loaded domain: images in the size that the network expects, labels 0..classes-1.

    The domain of one real client may have no test images.

    Attributes:
        name: as a configuration names it.
        classes: number of classes.
        train: what is dealt to clients, and what judges are trained on.
        test: what everything is scored on, and nothing is trained on.
        class_names: names by label, as many as ``classes``; empty if there are only numbers.
        notes: what was done with the images that a reader may not expect, a sentence each.
    """

    name: str
    classes: int
    train: LabelledImages
    test: LabelledImages
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


_NO_SOURCES: Named = MappingProxyType({})


def load_domains(
    sources: Sequence[DomainSource],
    *,
    root: Path | None,
    cache: Path,
    image: tuple[int, int],
    classes: int,
    judged_on: JudgedOn = "test",
    fit: Fit = "pad",
    examine: bool = True,
) -> dict[str, Domain]:
    """Load the domains of a run, by name in the order of ``sources``: no two share a training image.

    With ``judged_on`` ``validation`` a fifth of each domain's training images takes the place of its test
    images, in which every label has a fifth of its images; nothing depends on the test images then, which may
    be missing. The other arguments are those of ``load_domain``, which says what is raised.
    """
    named = named_sources(sources)
    _check_fit(sources, root, named, fit)
    origins = [_origin(source, root, named) for source in sources]
    domains = {}
    for place, source in enumerate(sources):
        domain = load_domain(
            source,
            root=root,
            cache=cache,
            image=image,
            classes=classes,
            needs_test=judged_on == "test",
            named=named,
            fit=fit,
            examine=examine,
        )
        origin = origins[place]
        domain = _own_share(domain, origin, origins[:place].count(origin), origins.count(origin))
        domains[source.name] = _with_validation(domain) if judged_on == "validation" else domain
    return domains


def load_domain(
    domain: DomainSource | str,
    *,
    root: Path | None,
    cache: Path,
    image: tuple[int, int],
    classes: int | None = None,
    needs_test: bool = True,
    split_test: bool = True,
    named: Named = _NO_SOURCES,
    fit: Fit = "pad",
    examine: bool = True,
) -> Domain:
    """Load a domain and convert its images to the form that the network expects.

    Args:
        domain: a name, or a name with its folder.
        root: folder of folders or files with images, searched before anything is downloaded.
        cache: folder for downloads and rendered images, created if needed.
        image: the network's (channels, size).
        classes: the network's number of classes; the domain must not have more.
        needs_test: a test part without images is an error.
        split_test: where there is no test part at all, a share of the images becomes one (see
        ``read_place``).
        named: by plain name, sources from which the domain may be derived beside those that are known anyway.
        fit: what is done with images that are not square.
        examine: what is odd about the images is among the ``notes``. Who has nobody to tell it need not look.

    Raises:
        DataError: if the domain is unknown, or if its files are missing, damaged or do not fit. The
            message names the file or the setting.
    """
    source = DomainSource(name=domain) if isinstance(domain, str) else domain
    wanted = Wanted(ImageForm(*image, fit), needs_test=needs_test)
    known, found = _read(source, root, cache, named, wanted, split_test=split_test)
    train, test = found.train, found.test if found.test is not None else found.train.none
    shape = found.shape or ImageShape(*train.images.shape[1:])
    _check_classes(source.name, known, test, classes)
    odd = _odd(source, root, named, found, known) if examine else []
    # Nobody asks for names of images later, and paths of millions of files take gigabytes.
    train, test = replace(train, origins=None), replace(test, origins=None)
    return Domain(
        source.name,
        known,
        convert(train, *image, fit),
        convert(test, *image, fit),
        found.class_names if len(found.class_names) == known else (),
        (
            *found.notes,
            *form_notes(
                f"domain '{source.name}'",
                shape,
                ImageForm(*image, fit),
                fitted="data.fit is",
                sized="as model.spec says; in a simulation auto takes networks that fit",
            ),
            *(f"domain '{source.name}': {each}" for each in odd),
        ),
    )


def _read(
    source: DomainSource,
    root: Path | None,
    cache: Path,
    named: Named,
    wanted: Wanted,
    *,
    split_test: bool,
) -> tuple[int, Found]:
    """Return a domain's number of classes and its images, as they come."""
    check_applies(source, root)
    derived = derivation_of(source, root)
    if derived is not None:

        def read(name: str, asked: Wanted) -> tuple[int, Found]:
            return _read(source_named(name, named), root, cache, named, asked, split_test=split_test)

        if derived.background:
            known, found = _as_they_lie(read, derived.base, wanted)
            behind = _as_they_lie(read, derived.background, wanted)[1]
            return source.stated_classes or known, _over(found, derived, behind)
        known, found = read(derived.base, wanted)
        return source.stated_classes or known, _transformed(found, derived.transform)
    registered = registered_domain(source.name)
    expected = source.stated_classes or (registered.classes if registered else None)
    place = source.place or place_below(root, source.name)
    if place is not None:
        asked = source.wanted(expected, wanted)
        if source.by_holder and isinstance(place, Path):
            found = read_holders(place, asked, split_test=split_test)
        else:
            found = read_place(place, asked, split_test=split_test)
    elif registered is not None:
        found = Found(*registered.load(cache), source.class_names)
    else:
        raise unknown_domain(source.name, root)
    return expected or max(int(found.train.labels.max()) + 1, len(found.class_names), found.classes), found


def _as_they_lie(
    read: Callable[[str, Wanted], tuple[int, Found]], name: str, wanted: Wanted
) -> tuple[int, Found]:
    """Read a domain in the size of its files, and pictures of several sizes as squares of their usual one.

    In the network's size, other patches would be drawn for every network.
    """
    try:
        return read(name, replace(wanted, image=None))
    except VariedSizesError as error:
        fit = "pad" if wanted.image is None else wanted.image.fit
        side = max(error.usual.height, error.usual.width)
        return read(name, replace(wanted, image=ImageForm(error.usual.channels, side, fit)))


def _transformed(found: Found, transform: str) -> Found:
    test = None if found.test is None else transformed(found.test, transform)
    return replace(found, train=transformed(found.train, transform), test=test)


def _over(found: Found, derived: Derivation, behind: Found) -> Found:
    """Return the base's images laid over those ``behind``, test images over test images."""
    names, test = (plain(derived.base), plain(derived.background)), found.test
    if test is not None and len(test):
        test = laid_over(test, (behind.test or behind.train.none).images, *names, "test")
    train = laid_over(found.train, behind.train.images, *names)
    return replace(found, train=train, test=test, notes=(*found.notes, *behind.notes), shape=None)


def _check_fit(sources: Sequence[DomainSource], root: Path | None, named: Named, fit: Fit) -> None:
    """Raise ``DataError`` if ``fit`` is said, and the images of all domains are known to be square."""
    own = [place_of_source(source, root, named) for source in sources]
    built_in = [None if each.place is not None else registered_domain(each.name) for each in own]
    shapes = [None if each is None else each.shape for each in built_in]
    if fit != "pad" and all(shape is not None and shape[1] == shape[2] for shape in shapes):
        raise DataError(
            f"data.fit is {fit}, but images of {', '.join(source.name for source in sources)} are square, so "
            "that it says nothing; remove the setting"
        )


def _odd(source: DomainSource, root: Path | None, named: Named, found: Found, classes: int) -> Sequence[str]:
    """Return what is odd about somebody's own images; those that are built in have been looked at."""
    if place_of_source(source, root, named).place is None:
        return []
    test = found.train.none if found.test is None else found.test
    return findings(found.train, test, classes, found.class_names).odd


def _origin(source: DomainSource, root: Path | None, named: Named) -> str:
    """Return the plain name of the domain that ``source`` is derived from in the end; perhaps its own."""
    derived = derivation_of(source, root)
    return plain(source.name) if derived is None else _origin(source_named(derived.base, named), root, named)


def _own_share(domain: Domain, origin: str, place: int, sharing: int) -> Domain:
    """Return the domain with its share of training images, at ``place`` of as many as are ``sharing``."""
    if sharing == 1:
        return domain
    shares = stratified_shares(domain.train.labels, sharing, "domains", origin)
    return replace(domain, train=domain.train.subset(shares[place]))


def _with_validation(domain: Domain) -> Domain:
    """Return the domain judged on a fifth of its training images, which are no longer among these."""
    if len(domain.train) < 2:
        images = by_count(len(domain.train), "image", "images")
        raise DataError(
            f"data.judged_on is validation, but domain '{domain.name}' has {len(domain.train)} training "
            f"{images}: give it at least 2, or take test"
        )
    validation, *rest = stratified_shares(domain.train.labels, _VALIDATION_PART, "validation", domain.name)
    train = domain.train.subset(torch.cat(rest).sort().values)
    return replace(domain, train=train, test=domain.train.subset(validation))


def _check_classes(name: str, found: int, test: LabelledImages, allowed: int | None) -> None:
    highest = max(test.labels.tolist(), default=-1)
    if highest >= found:
        raise OtherClassesError(
            f"domain '{name}': a test image has label {highest}, but the classes of the training part end at "
            f"{found - 1}: correct the files, or set the domain's number of classes"
        )
    if allowed is not None and found > allowed:
        classes = by_count(found, "class", "classes")
        raise OtherClassesError(
            f"domain '{name}' has {found} {classes} and the network {allowed}: set model.classes to at least "
            f"{found}, or model.spec to auto"
        )
