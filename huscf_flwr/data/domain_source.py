"""A domain as a configuration names it: its name, where its images lie, and how they are to be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from huscf_flwr.conf_files import Name, Strict, formed
from huscf_flwr.data.below_root import place_below, plain
from huscf_flwr.data.derived import Derivation, derivation
from huscf_flwr.data.formats.choice import Place
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.huggingface_parts import HubSet
from huscf_flwr.data.images import DataError
from huscf_flwr.data.registry import registered_domain
from huscf_flwr.home import home_expanded

_OF_FILES: tuple[str, ...] = ("first_label", "by_holder", "image_column", "label_column")
"""Settings that say how files are to be read."""


_NameOnHub = Annotated[
    str,
    formed(
        r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?",
        "the name of a data set on Hugging Face's hub is wanted, such as ylecun/mnist, with a subset of it, "
        "if it has several, behind a colon",
    ),
]


class DomainSource(Strict):
    """A domain as a configuration names it.

    Attributes:
        name: a registered name, the name of a folder below ``data.root``, or that of a domain with a
            transform, such as ``mnist-inverted``; any that has the form of a name if ``folder`` or ``hub`` is
            set.
        folder: folder or file with the images, in any format that is known; ``~`` is the home folder.
        classes: number of classes; by default the registered number, else that of ``class_names``, else 1 +
            the largest label of the training images.
        class_names: names of the classes in the order of their labels; folders of pictures are matched with
            them. By default what the images come with, if they do.
        first_label: what the files call class 0.
        hub: instead of a folder, the name of a data set on Hugging Face's hub, perhaps with a subset behind a
            colon: ``ylecun/mnist``.
        image_column: of a data set of Hugging Face, where its images are, if it has several candidates.
        label_column: where its labels are, likewise; also of a CSV file, where without a header it is
            ``first``, the default, or ``last``.
        by_holder: the folder has a part for each who holds images, a file or folder in any known format: a
            speaker, a writer. All parts are one domain, and the partition ``holders`` deals them to clients.
    """

    name: Name
    folder: Annotated[Path, AfterValidator(home_expanded)] | None = None
    classes: int | None = Field(default=None, ge=1, le=256)
    class_names: tuple[str, ...] = ()
    first_label: int = Field(default=0, ge=0, le=255)
    by_holder: bool = False
    hub: _NameOnHub | None = None
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


Named = Mapping[str, DomainSource]
"""The sources of a run by plain name: what a domain is derived from may be one of them."""


def named_sources(sources: Iterable[DomainSource]) -> Named:
    """Return sources by plain name."""
    return {plain(source.name): source for source in sources}


def source_named(name: str, named: Named) -> DomainSource:
    """Return the source of a domain that another is derived from: one of the run's, or what the name says."""
    return named.get(plain(name), DomainSource(name=name))


def derivation_of(source: DomainSource, root: Path | None) -> Derivation | None:
    """Return what a domain is derived from; None if it has images of its own."""
    if source.place or registered_domain(source.name) or place_below(root, source.name):
        return None
    return derivation(source.name)


def place_of_source(source: DomainSource, root: Path | None, named: Named) -> DomainSource:
    """Return the domain whose own images a source has, with the folder or file where they lie, if any.

    The number of classes is the source's, if it says one.
    """
    derived = derivation_of(source, root)
    if derived is not None:
        base = place_of_source(source_named(derived.base, named), root, named)
        return base if source.classes is None else base.model_copy(update={"classes": source.classes})
    below = None if source.place else place_below(root, source.name)
    return source.model_copy(update={"folder": source.folder or below})


def backgrounds_of_source(source: DomainSource, root: Path | None, named: Named) -> tuple[DomainSource, ...]:
    """Return the domains over whose images those of a source are laid; mostly none."""
    derived = derivation_of(source, root)
    if derived is None:
        return ()
    behind = (source_named(derived.background, named),) if derived.background else ()
    return (*backgrounds_of_source(source_named(derived.base, named), root, named), *behind)


def check_applies(source: DomainSource, root: Path | None) -> None:
    """Raise ``DataError`` for settings that can change nothing of a domain, as it has no files of its own."""
    derived = derivation_of(source, root)
    idle = _OF_FILES
    if derived is not None:
        idle, why = (*_OF_FILES, "class_names"), f"its images and class names are those of {derived.base}"
    elif source.place is None and place_below(root, source.name) is None and registered_domain(source.name):
        why = "it is built in, and nothing is read from a folder of yours"
    else:
        return
    said = [name for name in idle if getattr(source, name)]
    if said:
        raise DataError(
            f"domain '{source.name}': {' and '.join(said)} can change nothing, since {why}; remove the "
            "setting, or say it where the images lie, as in {name: mine, folder: DIR, "
            f"{said[0]}: ...}}"
        )
