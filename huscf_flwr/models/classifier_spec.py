"""Specs of classifiers of different architectures, read from YAML and checked before anything is built.

A *family* has several members, and clients are dealt these in turn. All members make features of the same
width, so that what is said of features, such as their means, can be compared between clients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, PositiveInt, Tag, model_validator

from huscf_flwr.conf_files import Strict, find_conf, read_yaml, validate
from huscf_flwr.config import RunConfig
from huscf_flwr.models.spec import ImageSpec, ModelSpec


class LayerSpec(Strict):
    """A 3x3 convolution that keeps the size of the maps, normalised; or two of them with a way past.

    Attributes:
        kind: a ``convolution``; or a ``residual`` block: its input, or a 1x1 convolution of it if channels or
            size change, is added to what two convolutions make of it (He et al. 2016, arXiv 1512.03385).
        channels: of its output.
        halve: height and width are halved: after a convolution by a 2x2 max pool, rounded down, and in a
            residual block by the stride of its first convolution, rounded up.
    """

    kind: Literal["convolution", "residual"] = "convolution"
    channels: PositiveInt
    halve: bool = False


class TorchvisionSpec(Strict):
    """A network of torchvision, whose last layer gives the features; GroupNorm takes the place of BatchNorm.

    Attributes:
        torchvision: its name there, such as ``resnet18``.
        small_stem: its first convolution has a stride of one, and no max pool follows; so that small images
            are not made smaller still at once.
    """

    torchvision: Literal[
        "googlenet", "mobilenet_v2", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"
    ]
    small_stem: bool = False


LayersSpec = Annotated[tuple[LayerSpec, ...], Field(min_length=1)]
"""Layers in order."""


def _kind_of(member: object) -> str:
    return "(torchvision)" if isinstance(member, Mapping | TorchvisionSpec) else "(layers)"


MemberSpec = Annotated[
    Annotated[LayersSpec, Tag("(layers)")] | Annotated[TorchvisionSpec, Tag("(torchvision)")],
    Discriminator(_kind_of),
]
"""The architecture of one member."""


class ClassifierFamily(Strict):
    """Classifiers whose layers differ and whose features do not.

    Attributes:
        name: of its file.
        features: width p of the features, before the logits.
        groups: of channels that GroupNorm normalises together; they divide all numbers of channels.
        map_size: height and width to which the last maps of members with layers are averaged before the
            features are computed.
        members: the architectures.
    """

    name: str
    features: PositiveInt
    groups: PositiveInt
    map_size: PositiveInt
    members: tuple[MemberSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _groups_divide_channels(self) -> ClassifierFamily:
        for member, place, layer in self._layers():
            if layer.channels % self.groups:
                raise ValueError(
                    f"'members.{member}.{place}.channels' is {layer.channels}, which 'groups' = "
                    f"{self.groups} does not divide; change one of them"
                )
        return self

    def _layers(self) -> Iterator[tuple[int, int, LayerSpec]]:
        """Yield number of the member, place, and layer."""
        for member, layers in enumerate(self.members):
            if not isinstance(layers, TorchvisionSpec):
                yield from ((member, place, layer) for place, layer in enumerate(layers))

    def member_of(self, client: int) -> int:
        """Return which member a client has, from zero: they are dealt in turn."""
        return client % len(self.members)

    def check_has(self, member: int) -> None:
        """Raise ``ValueError`` if there is no member of this number."""
        if member >= len(self.members):
            raise ValueError(
                f"classifier.member, or architecture in a node config, is {member}, but the family "
                f"'{self.name}' has {len(self.members)} members, from 0: choose one of them"
            )

    def check_fits(self, image: ImageSpec) -> None:
        """Raise ``ValueError`` if a member leaves smaller maps of such images than ``map_size``."""
        for member, layers in enumerate(self.members):
            if isinstance(layers, TorchvisionSpec):
                continue
            left = image.size
            for layer in layers:
                left = left if not layer.halve else (left + (layer.kind == "residual")) // 2
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

    Raises ``ValueError`` if images are too small for it, or it has no such member as they say.
    """
    family = load_classifier_family(config.classifier.family)
    if config.classifier.features is not None:
        family = family.model_copy(update={"features": config.classifier.features})
    family.check_fits(spec.image)
    if config.classifier.member is not None:
        family.check_has(config.classifier.member)
    return family
