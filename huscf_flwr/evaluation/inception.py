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
from huscf_flwr.evaluation.classifier import as_input
from huscf_flwr.evaluation.kept_names import kept_name
from huscf_flwr.evaluation.scores import FeatureStatistics, frechet_distance
from huscf_flwr.seeding import torch_stream

MOST_REAL_IMAGES = 10_000
"""Of a domain with more training images so many are looked at, the same in every run."""

_SIDE = 299
_IMAGES_AT_ONCE = 50
_SEED = 0
_MEAN, _COVARIANCE = "features.mean", "features.covariance"
_LAST, _LAST_SHAPE = "fc.weight", [1000, 2048]
_HOW = (
    "write torchvision's weights into one with safetensors.torch.save_file(torch.load('inception_v3_google-"
    "0cc3c7bd.pth', weights_only=True), 'inception.safetensors')"
)

logger = logging.getLogger(__name__)


def check_inception(weights: Path | None) -> None:
    """Look whether a file may hold the weights, without reading all of it; None asks for nothing.

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
        with safe_open(weights, framework="pt") as file:
            found = file.get_slice(_LAST).get_shape() if _LAST in file.keys() else None  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ConfError(f"{setting}: no safetensors file ({error}); {_HOW}") from error
    if found != _LAST_SHAPE:
        raise ConfError(
            f"{setting}: {_LAST} is {'missing' if found is None else found}, not {_LAST_SHAPE}: these are "
            f"not the weights of torchvision's inception_v3; {_HOW}"
        )


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
        for part in torch.split(images, _IMAGES_AT_ONCE):
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
    from torchvision.models import inception_v3  # noqa: PLC0415 - slow to import, and most runs do without

    check_inception(weights)
    with torch.device("meta"):  # nothing is drawn from the global stream
        network = inception_v3(weights=None, init_weights=False, transform_input=False)
    tensors = load_file(weights)
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise ConfError(f"evaluation.inception: {weights}: {error}; {_HOW}") from error
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
