"""The feature space of the usual FID: the pooled features of torchvision's Inception v3, from a file on disk.

The judge's own features are those of a small network that has seen one domain; Inception's come from a large
one that has seen ImageNet, and are the same for every domain. Nothing is ever downloaded: whoever wants them
has the weights on disk, as one safetensors file with the names of ``torchvision.models.inception_v3``. Other
programs' FIDs use other weights and other numbers of images, and cannot be compared with these.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.conf_files import ConfError
from huscf_flwr.data import Domain
from huscf_flwr.data.progress import counted
from huscf_flwr.evaluation.classifier import as_input
from huscf_flwr.evaluation.kept_names import kept_name
from huscf_flwr.evaluation.scores import FeatureStatistics, frechet_distance
from huscf_flwr.extras import extra
from huscf_flwr.seeding import torch_stream

MOST_REAL_IMAGES = 10_000
"""Of a domain with more training images so many are looked at, the same in every run."""

_SIDE = 299
_IMAGES_AT_ONCE = 50
_SEED = 0
_MEAN, _COVARIANCE = "features.mean", "features.covariance"
_COUNTERS = ".num_batches_tracked"
"""How names end of what only training reads; files of before 2018 do not have them."""
_HOW = (
    "write torchvision's weights into one with safetensors.torch.save_file(torch.load('inception_v3_google-"
    "0cc3c7bd.pth', weights_only=True), 'inception.safetensors')"
)

_Form = tuple[str, tuple[int, ...]]
"""Type of a tensor's elements, as safetensors calls it, and its shape."""

logger = logging.getLogger(__name__)


def check_inception(weights: Path | None) -> None:
    """Look whether a file holds the weights, by name, type and shape of every tensor; None asks for nothing.

    The numbers themselves are not read.

    Raises:
        ConfError: naming the setting, the file and what to do.
    """
    if weights is None:
        return
    setting = f"evaluation.inception: {weights}"
    if not weights.is_file():
        raise ConfError(
            f"{setting}: no such file, and nothing is downloaded; correct the path, or leave the setting out"
        )
    try:
        found = _forms_in(weights)
    except (SafetensorError, OSError) as error:
        raise ConfError(f"{setting}: no safetensors file ({error}); {_HOW}") from error
    problem = _difference(found)
    if problem is not None:
        raise ConfError(
            f"{setting}: {problem}: these are not the weights of torchvision's inception_v3; {_HOW}"
        )


def _forms_in(weights: Path) -> dict[str, _Form]:
    with safe_open(weights, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {name: (each.get_dtype(), tuple(each.get_shape())) for name, each in slices.items()}


def _difference(found: Mapping[str, _Form]) -> str | None:
    """Return the first difference between the tensors of a file and those of the network, None if none."""
    expected = _empty_network().state_dict()
    for name, tensor in expected.items():
        wanted = ("F32" if tensor.is_floating_point() else "I64", tuple(tensor.shape))
        if name not in found and not name.endswith(_COUNTERS):
            return f"{name} is missing"
        if found.get(name, wanted) != wanted:
            return f"{name} is {_told(found[name])}, not {_told(wanted)}"
    unknown = sorted(found.keys() - expected.keys())
    return f"{unknown[0]} is none of its tensors" if unknown else None


def _told(form: _Form) -> str:
    return f"{form[0]} {list(form[1])}"


def _empty_network() -> nn.Module:
    """Return the network without memory for its weights; nothing is drawn from the global stream."""
    with extra("images", "evaluation.inception"):
        from torchvision.models import inception_v3  # noqa: PLC0415 - slow to import, and most runs do without

    with torch.device("meta"):
        network: nn.Module = inception_v3(weights=None, init_weights=False, transform_input=False)
    return network


@dataclass(frozen=True, eq=False)
class Inception:
    """The network without its last layer.

    Attributes:
        network: from images [N, 3, 299, 299] in [-1, 1] to features [N, 2048], in evaluation mode.
        version: hash of its weights.
    """

    network: nn.Module
    version: str

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the features [N, 2048] of images [N, C, H, W] (uint8, or in [-1, 1]), grey or in colour.

        They are enlarged to 299x299 pixels by bilinear interpolation, antialiased where that makes them
        smaller; grey is repeated in three channels.
        """
        found = []
        parts = torch.split(images, _IMAGES_AT_ONCE)
        told = "looking at images with the Inception network"
        for part in counted(parts, len(images), told, each=_IMAGES_AT_ONCE):
            colour = as_input(part).expand(-1, 3, -1, -1)
            large = functional.interpolate(colour, (_SIDE, _SIDE), mode="bilinear", antialias=True)
            found.append(self.network(large.contiguous(memory_format=torch.channels_last)))
        return torch.cat(found)


@lru_cache(maxsize=1)
def load_inception(weights: Path) -> Inception:
    """Return the network with weights from a safetensors file.

    Raises:
        ConfError: if they are not those of torchvision's inception_v3.
    """
    check_inception(weights)
    network, tensors = _empty_network(), load_file(weights)
    network.load_state_dict(tensors, assign=True)
    network.fc = nn.Identity()
    channels_last = network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
    return Inception(channels_last, _hash_of(tensors))


def inception_fid(inception: Inception, domain: Domain, images: Tensor, *, cache: Path) -> float:
    """Return the Fréchet distance of generated images [N, C, H, W] to the domain's training images.

    Args:
        inception: the network.
        domain: of its training images at most ``MOST_REAL_IMAGES`` are looked at.
        images: in [-1, 1].
        cache: statistics of real images are kept in its subfolder ``inception``.
    """
    drawn = FeatureStatistics.of(inception.features(images))
    return frechet_distance(drawn, _real_statistics(inception, domain, cache))


def _real_statistics(inception: Inception, domain: Domain, cache: Path) -> FeatureStatistics:
    name = kept_name(domain, ["inception", inception.version, str(MOST_REAL_IMAGES)])
    path = cache / "inception" / f"{name}.safetensors"
    if path.is_file():
        try:
            tensors = load_file(path)
            return FeatureStatistics(tensors[_MEAN], tensors[_COVARIANCE])
        except (SafetensorError, KeyError) as error:
            logger.warning("%s is damaged (%s): looking at the images of %s again", path, error, domain.name)
    order = torch.randperm(len(domain.train), generator=torch_stream(_SEED, "inception", domain.name))
    found = FeatureStatistics.of(inception.features(domain.train.images[order[:MOST_REAL_IMAGES]]))
    try:
        write_atomically(path, save({_MEAN: found.mean, _COVARIANCE: found.covariance}))
    except OSError as error:
        logger.warning("the Inception features of %s are not kept: %s", domain.name, error)
    return found


def _hash_of(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
