"""Networks that follow the data: which family, how many classes and channels fit the domains of a run.

Only where the images can be looked at, as in a simulation. What the configuration says is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from huscf_flwr.config import RunConfig
from huscf_flwr.data.domain_source import (
    DomainSource,
    Named,
    backgrounds_of_source,
    named_sources,
    place_of_source,
)
from huscf_flwr.data.formats.found import ImageShape
from huscf_flwr.data.formats.holders import classes_of_holders, shape_of_holders
from huscf_flwr.data.formats.places import classes_of_place, shape_of_place
from huscf_flwr.data.images import DataError
from huscf_flwr.data.population import scenario_of
from huscf_flwr.data.registry import registered_domain
from huscf_flwr.models import AUTO

_FAMILIES: Mapping[str, int] = {"authors-28": 28, "colour-32": 40, "images-64": 2**31}
"""By name in ``conf/models``, the longest sides of the images, in pixels, that each is taken for."""


@lru_cache(maxsize=4)
def following_data(config: RunConfig) -> RunConfig:
    """Return the configuration with its networks named, if ``model.spec`` is ``auto``; else as it is.

    The family is the smallest that does not shrink the images of any domain much, the images are in colour if
    those of any domain are, and there are as many classes as the domain with the most has.

    Raises:
        DataError: if a domain is unknown or its files cannot be read.
    """
    if config.model.spec != AUTO:
        return config
    sources = scenario_of(config).domains
    named = named_sources(sources)
    found = [_of_source(source, named, config) for source in sources]
    side = max(max(shape.height, shape.width) for shape, _ in found)
    model = {
        "spec": next(name for name, longest in _FAMILIES.items() if side <= longest),
        "classes": config.model.classes or max(classes for _, classes in found),
        "channels": config.model.channels or max(shape.channels for shape, _ in found),
    }
    return config.model_copy(update={"model": config.model.model_copy(update=model)})


def _of_source(source: DomainSource, named: Named, config: RunConfig) -> tuple[ImageShape, int]:
    """Return the shape of a domain's images and its number of classes.

    Images that are laid over others have the channels of these, if they have more.
    """
    (channels, *size), classes = _of_own(source, named, config)
    backgrounds = backgrounds_of_source(source, config.data.root, named)
    behind = (_of_source(background, named, config)[0].channels for background in backgrounds)
    return ImageShape(max(channels, *behind, 0), *size), classes


def _of_own(source: DomainSource, named: Named, config: RunConfig) -> tuple[ImageShape, int]:
    source = place_of_source(source, config.data.root, named)
    registered = registered_domain(source.name)
    stated = source.stated_classes or (registered.classes if registered else None)
    if source.place is not None:
        wanted = source.wanted(stated)
        if source.by_holder and source.folder is not None:
            shape = shape_of_holders(source.folder, wanted)
            return shape, stated or classes_of_holders(source.folder, wanted)
        return shape_of_place(source.place, wanted), stated or classes_of_place(source.place, wanted)
    if registered is None:
        raise DataError(
            f"model.spec is auto, but domain '{source.name}' is unknown; name the networks, or the folder"
        )
    if registered.shape is not None:
        return ImageShape(*registered.shape), stated or registered.classes
    images = registered.load(config.data.cache)[0].images
    return ImageShape(*images.shape[1:]), stated or registered.classes
