"""Networks that follow the data: how many classes, and which family and channels, fit the domains of a run.

Only where the images can be looked at, as in a simulation. What the configuration says is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from huscf_flwr.config import ModelSection, RunConfig
from huscf_flwr.data.domain_source import (
    DomainSource,
    Named,
    backgrounds_of_source,
    named_sources,
    place_of_source,
)
from huscf_flwr.data.formats.found import FITTED, ImageShape, VariedShape
from huscf_flwr.data.formats.holders import classes_of_holders, shape_of_holders
from huscf_flwr.data.formats.places import classes_of_place, shape_of_place
from huscf_flwr.data.images import ImageForm
from huscf_flwr.data.population import scenario_of
from huscf_flwr.data.registry import registered_domain
from huscf_flwr.data.unknown_domain import unknown_domain
from huscf_flwr.models import AUTO, model_spec_of
from huscf_flwr.naming import first_few

_FAMILIES: Mapping[str, int] = {"authors-28": 28, "colour-32": 40, "images-64": 2**31}
"""By name in ``conf/models``, the longest sides of the images, in pixels, that each is taken for."""
_COLOURS: Mapping[int, str] = {1: "grey", 3: "colour"}


@lru_cache(maxsize=4)
def following_data(config: RunConfig) -> RunConfig:
    """Return the configuration with its networks as the images of its domains need them; what is said stays.

    There are as many classes as the domain with the most has. If ``model.spec`` is ``auto``, the family is
    the smallest that does not shrink the images of any domain much, and the images are in colour if those of
    any domain are. A run that goes on has the classes that it began with: where ``model.spec`` names a
    family, those that are said or the family's (see ``run.check.as_begun``).

    Raises:
        DataError: if the files of a domain cannot be read; with ``auto`` also if a domain is unknown.
    """
    if config.model.spec != AUTO:
        return _with_their_classes(config)
    found = _looked_at(_without_networks(config))
    side = max(max(shape.height, shape.width) for shape, _ in found)
    model = {
        "spec": next(name for name, longest in _FAMILIES.items() if side <= longest),
        "classes": config.model.classes or max(classes for _, classes in found),
        "channels": config.model.channels or max(shape.channels for shape, _ in found),
    }
    return config.model_copy(update={"model": config.model.model_copy(update=model)})


def check_domains_are_known(config: RunConfig) -> None:
    """Raise ``DataError`` for a domain that is neither built in nor below ``data.root``; no image is read."""
    sources, root = scenario_of(config).domains, config.data.root
    named = named_sources(sources)
    for source in sources:
        for each in (source, *backgrounds_of_source(source, root, named)):
            _known_place(each, named, root)


def networks_told(config: RunConfig) -> str:
    """Return in a line which networks ``auto`` has become in a configuration that follows the data.

    It says how the images lie there, and what is done with those that are not as the networks have them.
    """
    spec = model_spec_of(config)
    shapes = [shape for shape, _ in _looked_at(_without_networks(config))]
    form = ImageForm(spec.image.channels, spec.image.size, config.data.fit)
    channels = sorted({shape.channels for shape in shapes})
    made = "" if channels == [form.channels] else f"; the networks have them in {_COLOURS[form.channels]}"
    return (
        f"model.spec is auto, which takes {config.model.spec} for these images: {_sizes(shapes)}, "
        f"{' and '.join(_COLOURS[each] for each in channels)}, {spec.classes} classes"
        f"{_fitted(shapes, form)}{made}"
    )


def _sizes(shapes: Sequence[ImageShape]) -> str:
    """Return the sizes that images of one domain or another have, each once."""
    sizes = {
        f"{'medians ' if isinstance(shape, VariedShape) else ''}{shape.height} x {shape.width}": None
        for shape in sorted(shapes, key=lambda shape: shape[1:])
    }
    square = all(shape.height == shape.width and not isinstance(shape, VariedShape) for shape in shapes)
    return f"{first_few(list(sizes))} pixels{'' if square else ' (height first)'}"


def _fitted(shapes: Sequence[ImageShape], form: ImageForm) -> str:
    """Return what is done with images of these shapes that are not as the networks have them."""
    as_wanted = [shape for shape in shapes if shape == (shape.channels, form.size, form.size)]
    changed = [shape for shape in shapes if shape not in as_wanted or isinstance(shape, VariedShape)]
    if not changed:
        return ""
    which = "others are" if as_wanted else "they are"
    size = f"to the networks' {form.size} x {form.size}"
    if all(shape.height == shape.width for shape in changed):
        return f"; {which} {_scaled(changed, form)} {size}"
    squared = FITTED[form.fit]
    if form.fit == "stretch":
        return f"; {which} {squared} {size}"
    if any(shape.height == shape.width or isinstance(shape, VariedShape) for shape in changed):
        return f"; {which} brought {size}, {squared} unless square"
    return f"; {which} {' and '.join(filter(None, (squared, _scaled(changed, form))))} {size}"


def _scaled(shapes: Sequence[ImageShape], form: ImageForm) -> str:
    """Return how images of these shapes are brought to the size of the networks', if they are scaled.

    It is true of all: of medians nobody knows, and some may have the size when they are padded or cropped.
    """
    sides = {(min if form.fit == "crop" else max)(shape[1:]) for shape in shapes}
    if any(isinstance(shape, VariedShape) for shape in shapes) or (form.size in sides and len(sides) > 1):
        return "brought"
    scaled = {
        "enlarged": any(side < form.size for side in sides),
        "shrunk": any(side > form.size for side in sides),
    }
    return " or ".join(word for word, is_done in scaled.items() if is_done)


def _without_networks(config: RunConfig) -> RunConfig:
    """Return the configuration that is the same whatever networks are taken for its images."""
    return config.model_copy(update={"model": ModelSection()})


@lru_cache(maxsize=4)
def _looked_at(config: RunConfig) -> tuple[tuple[ImageShape, int], ...]:
    """Return the shape of the images of each domain, and its number of classes."""
    sources = scenario_of(config).domains
    named = named_sources(sources)
    return tuple(_of_source(source, named, config) for source in sources)


def _with_their_classes(config: RunConfig) -> RunConfig:
    """Return the configuration for the images' number of classes, if nothing says another.

    Where it is the family's own, the configuration is left as it is.
    """
    if config.model.classes is not None or config.resume is not None:
        return config
    sources = scenario_of(config).domains
    named = named_sources(sources)
    found = [_classes_of(place_of_source(each, config.data.root, named)) for each in sources]
    if None in found:  # whoever loads the domain says what is wrong with its name
        return config
    classes = max(each for each in found if each is not None)
    if classes == model_spec_of(config).classes:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"classes": classes})})


def _of_source(source: DomainSource, named: Named, config: RunConfig) -> tuple[ImageShape, int]:
    """Return the shape of a domain's images and its number of classes.

    Images that are laid over others have the channels of these, if they have more.
    """
    shape, classes = _of_own(source, named, config)
    backgrounds = backgrounds_of_source(source, config.data.root, named)
    behind = (_of_source(background, named, config)[0].channels for background in backgrounds)
    return shape._replace(channels=max(shape.channels, *behind, 0)), classes


def _of_own(source: DomainSource, named: Named, config: RunConfig) -> tuple[ImageShape, int]:
    source = _known_place(source, named, config.data.root)
    if source.place is not None:
        wanted = source.wanted(_stated(source))
        if source.by_holder and source.folder is not None:
            return shape_of_holders(source.folder, wanted), _classes_of_files(source)
        return shape_of_place(source.place, wanted), _classes_of_files(source)
    registered = registered_domain(source.name)
    assert registered is not None
    classes = source.stated_classes or registered.classes
    if registered.shape is not None:
        return ImageShape(*registered.shape), classes
    images = registered.load(config.data.cache)[0].images
    return ImageShape(*images.shape[1:]), classes


def _known_place(source: DomainSource, named: Named, root: Path | None) -> DomainSource:
    """Return what ``place_of_source`` does; raises ``DataError`` if nobody knows that domain."""
    own = place_of_source(source, root, named)
    if own.place is None and registered_domain(own.name) is None:
        raise unknown_domain(own.name, root)
    return own


def _classes_of(source: DomainSource) -> int | None:
    """Return the number of classes of a domain with images of its own; None if it is unknown."""
    return _stated(source) if source.place is None else _classes_of_files(source)


def _classes_of_files(source: DomainSource) -> int:
    """Return the number of classes of a domain with files of its own; they are not read where it is said."""
    stated = _stated(source)
    if stated is not None:
        return stated
    assert source.place is not None
    wanted = source.wanted(None)
    if source.by_holder and source.folder is not None:
        return classes_of_holders(source.folder, wanted)
    return classes_of_place(source.place, wanted)


def _stated(source: DomainSource) -> int | None:
    registered = registered_domain(source.name)
    return source.stated_classes or (registered.classes if registered else None)
