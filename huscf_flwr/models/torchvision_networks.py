"""Networks of torchvision as extractors of features, without random numbers and running statistics."""

from __future__ import annotations

from typing import Any

from torch import nn

from huscf_flwr.extras import extra
from huscf_flwr.models.classifier_spec import TorchvisionSpec

_OF_GOOGLENET = {"aux_logits": False, "init_weights": False, "transform_input": False}


def torchvision_network(spec: TorchvisionSpec, channels: int, features: int, groups: int) -> nn.Module:
    """Return the network with its last layer made for ``features``, for images of so many ``channels``.

    Each BatchNorm is a GroupNorm of ``groups``, and nothing is dropped out, since what PyTorch drops comes
    from its global stream.

    Raises ``ValueError`` if the groups do not divide the channels of all its layers.
    """
    with extra("images", f"a classifier whose features are torchvision's {spec.torchvision}"):
        from torchvision import models  # noqa: PLC0415 - slow to import, and most runs do without

    more: dict[str, Any] = _OF_GOOGLENET if spec.torchvision == "googlenet" else {}
    network: nn.Module = models.get_model(spec.torchvision, weights=None, num_classes=features, **more)
    _take_images_of(network, channels, small_stem=spec.small_stem)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, _group_norm(layer.num_features, groups, spec))
            elif isinstance(layer, nn.Dropout):
                setattr(parent, name, nn.Identity())
    return network


def _take_images_of(network: nn.Module, channels: int, *, small_stem: bool) -> None:
    """Replace the first convolution, and the max pool after it if the stem is to be small."""
    parent, name, first = next(
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Conv2d)
    )
    with_bias = first.bias is not None
    stride: Any = 1 if small_stem else first.stride
    kernel: Any = first.kernel_size
    padding: Any = first.padding
    replaced = nn.Conv2d(channels, first.out_channels, kernel, stride, padding, bias=with_bias)
    setattr(parent, name, replaced)
    for pool in ("maxpool", "maxpool1"):
        if small_stem and hasattr(network, pool):
            setattr(network, pool, nn.Identity())


def _group_norm(channels: int, groups: int, spec: TorchvisionSpec) -> nn.GroupNorm:
    if channels % groups:
        raise ValueError(
            f"'groups' = {groups} does not divide the {channels} channels of a layer of {spec.torchvision}: "
            "take fewer"
        )
    return nn.GroupNorm(groups, channels)
