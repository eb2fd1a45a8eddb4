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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

import huscf_flwr.data.builtin  # noqa: F401  (registers the built-in domains)
from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.data.below_root import place_below, plain
from huscf_flwr.data.derived import TRANSFORMS, Derivation, derivation, laid_over, transformed
from huscf_flwr.data.findings import findings
from huscf_flwr.data.formats.found import Found, ImageShape, Wanted
from huscf_flwr.data.formats.holders import read_holders
from huscf_flwr.data.formats.huggingface_parts import HubSet
from huscf_flwr.data.formats.places import FORMATS, Place, read_place
from huscf_flwr.data.images import DataError, Fit, ImageForm, LabelledImages, convert
from huscf_flwr.data.registry import registered_domain, registered_names
from huscf_flwr.data.shares import stratified_shares

JudgedOn = Literal["test", "validation"]
"""Which images a run is judged on; see ``DataSection.judged_on``."""

_VALIDATION_PART = 5
"""One image of so many is for validation."""


class DomainSource(BaseModel):
    """A domain as a configuration names it.

    Attributes:
        name: a registered name, the name of a folder below ``data.root``, or that of a domain with a
            transform, such as ``mnist-inverted``; any name if ``folder`` is set.
        folder: folder or file with the images, in any format that is known; ``~`` is the home folder.
        classes: number of classes; by default the registered number, else that of ``class_names``, else 1 +
            the largest label of the training images.
        class_names: names of the classes in the order of their labels; folders of pictures are matched with
            them. By default what the images come with, if they do.
        first_label: what the files call class 0.
        hub: instead of a folder, the name of a data set on Hugging Face's hub, perhaps with a subset behind a
            colon: ``ylecun/mnist``.
        image_column: of a data set of Hugging Face, where its images are, if it has several candidates.
        label_column: where its labels are, likewise.
        by_holder: the folder has a part for each who holds images, a file or folder in any known format: a
            speaker, a writer. All parts are one domain, and the partition ``holders`` deals them to clients.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    folder: Annotated[Path, AfterValidator(Path.expanduser)] | None = None
    classes: int | None = Field(default=None, ge=1, le=256)
    class_names: tuple[str, ...] = ()
    first_label: int = Field(default=0, ge=0, le=255)
    by_holder: bool = False
    hub: str | None = Field(default=None, pattern=r"^[\w.-]+(/[\w.-]+)?(:[\w.-]+)?$")
    image_column: str | None = None
    label_column: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> DomainSource:
        if self.hub is not None and self.folder is not None:
            raise ValueError(f"hub is {self.hub} and folder is {self.folder}; remove one of them")
        if self.hub is not None and self.by_holder:
            raise ValueError(
                f"by_holder is true, but hub is {self.hub}, whose images are one data set; to deal them by "
                "who has them, name the column in partitioner, as partition_by"
            )
        return self

    @model_validator(mode="after")
    def _as_many_names_as_classes(self) -> DomainSource:
        names = self.class_names
        if len(set(names)) < len(names) or "" in names:
            raise ValueError(f"class_names {list(names)} has a name twice, or an empty one; correct it")
        if names and self.classes not in (None, len(names)):
            raise ValueError(f"{len(names)} class_names but classes: {self.classes}; correct one of them")
        return self

    @property
    def place(self) -> Place | None:
        """Where its images are, if the source says it."""
        return self.folder if self.hub is None else HubSet.parse(self.hub)

    def wanted(self, classes: int | None, wanted: Wanted = Wanted()) -> Wanted:  # noqa: B008  (frozen)
        """Return how the place is to be read, where its domain has so many ``classes``, if that is known."""
        return replace(
            wanted,
            classes=classes,
            first_label=self.first_label,
            class_names=self.class_names,
            image_column=self.image_column,
            label_column=self.label_column,
        )

    @property
    def stated_classes(self) -> int | None:
        """The number of classes, if the source says it in one way or the other."""
        return self.classes or len(self.class_names) or None


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


_NO_SOURCES: Mapping[str, DomainSource] = MappingProxyType({})


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
    named = {plain(source.name): source for source in sources}
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
    named: Mapping[str, DomainSource] = _NO_SOURCES,
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
    odd = _odd(source, root, found, known) if examine else []
    return Domain(
        source.name,
        known,
        convert(train, *image, fit),
        convert(test, *image, fit),
        found.class_names if len(found.class_names) == known else (),
        (
            *found.notes,
            *_form_notes(source.name, shape, ImageForm(*image, fit)),
            *(f"domain '{source.name}': {each}" for each in odd),
        ),
    )


def place_of_source(source: DomainSource, root: Path | None) -> DomainSource:
    """Return the domain whose own images a source has, with the folder or file where they lie, if any."""
    derived = _derived(source, root)
    if derived is not None:
        return place_of_source(DomainSource(name=derived.base), root)
    below = None if source.place else place_below(root, source.name)
    return source.model_copy(update={"folder": source.folder or below})


def backgrounds_of_source(source: DomainSource, root: Path | None) -> tuple[DomainSource, ...]:
    """Return the domains over whose images those of a source are laid; mostly none."""
    derived = _derived(source, root)
    if derived is None:
        return ()
    behind = (DomainSource(name=derived.background),) if derived.background else ()
    return (*backgrounds_of_source(DomainSource(name=derived.base), root), *behind)


def _read(
    source: DomainSource,
    root: Path | None,
    cache: Path,
    named: Mapping[str, DomainSource],
    wanted: Wanted,
    *,
    split_test: bool,
) -> tuple[int, Found]:
    """Return a domain's number of classes and its images, as they come."""
    derived = _derived(source, root)
    if derived is not None:

        def read(name: str, asked: Wanted) -> tuple[int, Found]:
            return _read(_named(name, named), root, cache, named, asked, split_test=split_test)

        known, found = read(derived.base, wanted)
        behind = read(derived.background, replace(wanted, classes=None))[1] if derived.background else None
        return source.stated_classes or known, _as_derived(found, derived, behind)
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
        raise DataError(_unknown(source.name, root))
    return expected or max(int(found.train.labels.max()) + 1, len(found.class_names)), found


def _as_derived(found: Found, derived: Derivation, behind: Found | None) -> Found:
    """Return the base's images transformed, or laid over those ``behind``, test images over test images."""
    if behind is None:
        test = None if found.test is None else transformed(found.test, derived.transform)
        return replace(found, train=transformed(found.train, derived.transform), test=test)
    names, test = (plain(derived.base), plain(derived.background)), found.test
    if test is not None and len(test):
        test = laid_over(test, (behind.test or behind.train.none).images, *names, "test")
    train = laid_over(found.train, behind.train.images, *names)
    return replace(found, train=train, test=test, notes=(*found.notes, *behind.notes))


def _odd(source: DomainSource, root: Path | None, found: Found, classes: int) -> list[str]:
    """Return what is odd about somebody's own images; those that are built in have been looked at."""
    if place_of_source(source, root).place is None:
        return []
    test = found.train.none if found.test is None else found.test
    return findings(found.train, test, classes, found.class_names)


def _form_notes(name: str, shape: ImageShape, form: ImageForm) -> list[str]:
    """Return what images of ``shape``, which is how they lie there, lose on the way to the network's form."""
    notes = []
    if shape.height != shape.width:
        done = {"pad": "padded with black", "crop": "cropped to their middle", "stretch": "stretched"}[
            form.fit
        ]
        notes.append(
            f"domain '{name}': images of {shape.height} x {shape.width} pixels, height first, are {done}: "
            f"data.fit is {form.fit}"
        )
    lost = ["their colour"] if shape.channels > form.channels else []
    lost += (
        [f"detail, from {max(shape[1:])} to {form.size} pixels"] if max(shape[1:]) > 1.25 * form.size else []
    )
    if lost:
        notes.append(
            f"domain '{name}': images lose {' and '.join(lost)}, as model.spec says; in a simulation auto "
            "takes networks that fit"
        )
    return notes


def _derived(source: DomainSource, root: Path | None) -> Derivation | None:
    """Return what a domain is derived from; None if it has images of its own."""
    if source.place or registered_domain(source.name) or place_below(root, source.name):
        return None
    return derivation(source.name)


def _named(name: str, named: Mapping[str, DomainSource]) -> DomainSource:
    return named.get(plain(name), DomainSource(name=name))


def _origin(source: DomainSource, root: Path | None, named: Mapping[str, DomainSource]) -> str:
    """Return the plain name of the domain that ``source`` is derived from in the end; perhaps its own."""
    derived = _derived(source, root)
    return plain(source.name) if derived is None else _origin(_named(derived.base, named), root, named)


def _own_share(domain: Domain, origin: str, place: int, sharing: int) -> Domain:
    """Return the domain with its share of training images, at ``place`` of as many as are ``sharing``."""
    if sharing == 1:
        return domain
    shares = stratified_shares(domain.train.labels, sharing, "domains", origin)
    return replace(domain, train=domain.train.subset(shares[place]))


def _with_validation(domain: Domain) -> Domain:
    """Return the domain judged on a fifth of its training images, which are no longer among these."""
    if len(domain.train) < 2:
        raise DataError(
            f"data.judged_on is validation, but domain '{domain.name}' has {len(domain.train)} training "
            "images: give it at least 2, or take test"
        )
    validation, *rest = stratified_shares(domain.train.labels, _VALIDATION_PART, "validation", domain.name)
    train = domain.train.subset(torch.cat(rest).sort().values)
    return replace(domain, train=train, test=domain.train.subset(validation))


def _unknown(name: str, root: Path | None) -> str:
    known = registered_names()
    place = f", and {root} has no folder of this name" if root else ""
    return (
        f"unknown domain '{name}'{did_you_mean(name.casefold(), known)}{place}. Known: {', '.join(known)}. "
        f"Each can be transformed, as in mnist-{next(iter(TRANSFORMS))}: {', '.join(TRANSFORMS)}; or laid "
        "over another's images, as in mnist-over-cifar10. "
        f"Any folder or file with images can be given as {{name: {name}, folder: DIR}}: {'; '.join(FORMATS)}"
    )


def _check_classes(name: str, found: int, test: LabelledImages, allowed: int | None) -> None:
    highest = max(test.labels.tolist(), default=-1)
    if highest >= found:
        raise DataError(
            f"domain '{name}': a test image has label {highest}, but the training labels end at "
            f"{found - 1}: correct the files, or set the domain's number of classes"
        )
    if allowed is not None and found > allowed:
        raise DataError(
            f"domain '{name}' has {found} classes and the network {allowed}: set model.classes to "
            f"at least {found}, or model.spec to auto"
        )
