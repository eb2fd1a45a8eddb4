"""Classifiers of different architectures: a feature extractor of its own for each, and a head.

GroupNorm takes the place of BatchNorm in all of them: it needs no running statistics, which would not fit
images that another network has drawn, and no second sample in a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from huscf_flwr.config import RunConfig
from huscf_flwr.models.classifier_spec import (
    ClassifierFamily,
    LayerSpec,
    TorchvisionSpec,
    classifier_family_of,
)
from huscf_flwr.models.network import CPU, built_for
from huscf_flwr.models.spec import ImageSpec, model_spec_of
from huscf_flwr.models.torchvision_networks import torchvision_network
from huscf_flwr.seeding import torch_stream


class ClassifierNetwork(nn.Module):
    """One member of a family: an extractor that ends with a linear layer to the features, and the head.

    The features are that layer's output as it is, without an activation: FedVTC takes them for the
    means of normal distributions.

    Args:
        family: with the member's layers.
        member: which of them, from zero.
        image: channels and size of the images.
        classes: number of logits.
        mixed: the extractor runs in bfloat16, the head does not.
    """

    def __init__(
        self, family: ClassifierFamily, member: int, image: ImageSpec, classes: int, *, mixed: bool = False
    ) -> None:
        super().__init__()
        spec = family.members[member]
        self.extractor = (
            torchvision_network(spec, image.channels, family.features, family.groups)
            if isinstance(spec, TorchvisionSpec)
            else _of_layers(spec, family, image)
        )
        self.head = nn.Linear(family.features, classes)
        self._mixed = mixed

    def features(self, images: Tensor) -> Tensor:
        """Return the features [N, p], in the type of the weights, of images [N, C, H, W] in [-1, 1]."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._mixed):
            features: Tensor = self.extractor(images)
        return features.to(self.head.weight.dtype)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [N, classes] of images [N, C, H, W] in [-1, 1]."""
        logits: Tensor = self.head(self.features(images))
        return logits


@lru_cache(maxsize=16)
def check_members(family: ClassifierFamily, image: ImageSpec) -> None:
    """Raise ``ValueError`` naming a member of the family that cannot be built, or not see such an image.

    Members are built, and shown one image, without memory and without arithmetic.
    """
    for member, spec in enumerate(family.members):
        try:
            with torch.device("meta"):
                network = ClassifierNetwork(family, member, image, classes=1)
                network.head(network.extractor(torch.empty(1, image.channels, image.size, image.size)))
        except (ValueError, RuntimeError) as error:
            kind = f" ({spec.torchvision})" if isinstance(spec, TorchvisionSpec) else ""
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"classifier.family is '{family.name}', but its 'members.{member}'{kind} does not fit images "
                f"of {image.channels}x{image.size}x{image.size}: {reason}; correct the member, or take "
                "another family"
            ) from error


def build_classifier(
    family: ClassifierFamily,
    member: int,
    image: ImageSpec,
    classes: int,
    stream: torch.Generator,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
) -> ClassifierNetwork:
    """Build a member of a family with weights drawn from ``stream``, a generator on the CPU.

    The weights are drawn in float32, whatever ``dtype`` the computation has, as ``initialise`` does.
    """
    make = partial(ClassifierNetwork, family, member, image, classes)
    return built_for(make, stream, dtype=dtype, device=device)


def classifier_of(
    config: RunConfig, client: int, *, dtype: torch.dtype = torch.float32, device: torch.device = CPU
) -> ClassifierNetwork:
    """Return a client's classifier as it is before the first round: its member, with weights of its own.

    They come from the stream of (seed, client), whoever builds it. Raises ``ValueError`` if the images are
    too small for the run's family, or it has no such member.
    """
    spec = model_spec_of(config)
    family = classifier_family_of(config, spec)
    chosen = config.classifier.member
    member = family.member_of(client) if chosen is None else chosen
    stream = torch_stream(config.seed, "classifier", client)
    return build_classifier(family, member, spec.image, spec.classes, stream, dtype=dtype, device=device)


def _of_layers(layers: Sequence[LayerSpec], family: ClassifierFamily, image: ImageSpec) -> nn.Sequential:
    return nn.Sequential(
        *_maps(layers, image.channels, family.groups),
        nn.AdaptiveAvgPool2d(family.map_size),
        nn.Flatten(),
        nn.Linear(layers[-1].channels * family.map_size**2, family.features),
    )


def _maps(layers: Sequence[LayerSpec], channels: int, groups: int) -> Iterator[nn.Module]:
    for layer in layers:
        if layer.kind == "residual":
            yield ResidualBlock(channels, layer.channels, 2 if layer.halve else 1, groups)
        else:
            yield nn.Conv2d(channels, layer.channels, kernel_size=3, padding=1)
            yield nn.GroupNorm(groups, layer.channels)
            yield nn.ReLU(inplace=True)
            if layer.halve:
                yield nn.MaxPool2d(2)
        channels = layer.channels


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a way past them (He et al. 2016, arXiv 1512.03385, with GroupNorm)."""

    def __init__(self, channels: int, after: int, stride: int, groups: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, after, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(groups, after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False),
            nn.GroupNorm(groups, after),
        )
        changed = nn.Conv2d(channels, after, kernel_size=1, stride=stride, bias=False)
        self.past = (
            nn.Identity()
            if channels == after and stride == 1
            else nn.Sequential(changed, nn.GroupNorm(groups, after))
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, after, H / stride, W / stride], rounded up."""
        outputs: Tensor = torch.relu(self.convolutions(inputs) + self.past(inputs))
        return outputs
