"""Specs of classifiers of different architectures, read from YAML and checked before anything is built.

A *family* has several members, and clients are dealt these in turn. All members make features of the same
width, so that what is said of features, such as their means, can be compared between clients.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from huscf_flwr.conf_files import find_conf, read_yaml, validate
from huscf_flwr.config import RunConfig
from huscf_flwr.models.spec import ImageSpec, ModelSpec


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LayerSpec(_Strict):
    """A 3x3 convolution that keeps the size of the maps, its normalisation, and perhaps a 2x2 max pool.

    Attributes:
        channels: of its output.
        halve: a max pool after it halves height and width, rounded down.
    """

    channels: PositiveInt
    halve: bool = False


MemberSpec = Annotated[tuple[LayerSpec, ...], Field(min_length=1)]
"""The layers of one member, in order."""


class ClassifierFamily(_Strict):
    """Classifiers whose layers differ and whose features do not.

    Attributes:
        name: of its file.
        features: width p of the features, before the logits.
        groups: of channels that GroupNorm normalises together; they divide all numbers of channels.
        map_size: height and width to which the last maps are averaged before the features are computed.
        members: the architectures, each as its layers.
    """

    name: str
    features: PositiveInt
    groups: PositiveInt
    map_size: PositiveInt
    members: tuple[MemberSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _groups_divide_channels(self) -> ClassifierFamily:
        for member, layers in enumerate(self.members):
            for place, layer in enumerate(layers):
                if layer.channels % self.groups:
                    raise ValueError(
                        f"'members.{member}.{place}.channels' is {layer.channels}, which 'groups' = "
                        f"{self.groups} does not divide; change one of them"
                    )
        return self

    def member_of(self, client: int) -> int:
        """Return which member a client has, from zero: they are dealt in turn."""
        return client % len(self.members)

    def check_fits(self, image: ImageSpec) -> None:
        """Raise ``ValueError`` if a member leaves smaller maps of such images than ``map_size``."""
        for member, layers in enumerate(self.members):
            halvings = sum(layer.halve for layer in layers)
            left = image.size >> halvings
            if left < self.map_size:
                raise ValueError(
                    f"classifier.family is '{self.name}', but its 'members.{member}' leaves {left}x{left} of "
                    f"images of {image.size}x{image.size} pixels, and 'map_size' is {self.map_size}: take "
                    "another family, or larger images"
                )


def load_classifier_family(name_or_path: str) -> ClassifierFamily:
    """Read a family from ``conf/classifiers/<name>.yaml`` or from a path.

    Raises ``ConfError`` naming the file, the key, the value and what would be right.
    """
    path = find_conf("classifiers", name_or_path)
    return validate(ClassifierFamily, {"name": path.stem, **read_yaml(path, ClassifierFamily)}, str(path))


def classifier_family_of(config: RunConfig, spec: ModelSpec) -> ClassifierFamily:
    """Return the family of a run's classifiers, with features as wide as the run's settings say.

    Raises ``ValueError`` if images are too small for it.
    """
    family = load_classifier_family(config.classifier.family)
    if config.classifier.features is not None:
        family = family.model_copy(update={"features": config.classifier.features})
    family.check_fits(spec.image)
    return family
