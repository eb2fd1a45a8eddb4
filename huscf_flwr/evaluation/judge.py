"""Judges: one classifier a domain, trained on its real training images, that looks at generated ones.

A judge never sees test images, neither to train nor to stop. It is trained once and kept in the cache under a
name that holds a hash of everything it depends on (images, labels, architecture, settings, seed): a
change of any of them is another file, and no stale judge is ever taken for a fresh one. With the network
it keeps the statistics of its features on the real training images, which the Fréchet distance compares with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.data import Domain
from huscf_flwr.evaluation.classifier import (
    ImageClassifier,
    TrainingSettings,
    build_classifier,
    predict,
    train_classifier,
)
from huscf_flwr.evaluation.kept_names import kept_name
from huscf_flwr.evaluation.scores import FeatureStatistics
from huscf_flwr.seeding import torch_stream

JUDGE_TRAINING = TrainingSettings(shift=2)
"""Small shifts make a judge that is right more often: on KMNIST 0.95 instead of 0.93 of the test images."""

_MEAN, _COVARIANCE, _NETWORK = "features.mean", "features.covariance", "network."

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained classifier of one domain's images.

    Attributes:
        domain: name of the domain.
        network: the classifier, in evaluation mode.
        real: statistics of its features on the real training images.
    """

    domain: str
    network: ImageClassifier
    real: FeatureStatistics

    def look_at(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities [N, classes] and features [N, F] of images (uint8, or in [-1, 1])."""
        return predict(self.network, images)

    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """Return the share of images [N, C, H, W] whose label [N] the judge finds."""
        return float((self.look_at(images)[0].argmax(dim=1) == labels).double().mean())


def train_judge(domain: Domain, *, seed: int, settings: TrainingSettings = JUDGE_TRAINING) -> Judge:
    """Train the judge of `domain` on its training images.

    Raises:
        ValueError: if the domain has fewer than two training images.
    """
    generator = torch_stream(seed, "judge", domain.name)
    network = train_classifier(
        domain.train.images,
        domain.train.labels,
        domain.classes,
        settings,
        generator,
        what=f"steps of training the judge of {domain.name}",
    ).requires_grad_(False)
    _, features = predict(network, domain.train.images)
    return Judge(domain.name, network, FeatureStatistics.of(features))


def load_or_train_judge(
    domain: Domain,
    *,
    cache: Path,
    seed: int,
    settings: TrainingSettings = JUDGE_TRAINING,
    tell: Callable[[str], None] = lambda _: None,
) -> Judge:
    """Return the judge of `domain` from the cache, or train it and put it there.

    Args:
        domain: only its training images are looked at.
        cache: judges are in its subfolder `judges`, which is made when needed.
        seed: of weights, order and shifts.
        settings: how it is trained.
        tell: is told that it is trained, which takes minutes.
    """
    path = judge_path(domain, cache=cache, seed=seed, settings=settings)
    if path.is_file():
        try:
            return _load(path, domain)
        except (SafetensorError, KeyError, RuntimeError) as error:
            logger.warning("%s is damaged (%s): training the judge of %s again", path, error, domain.name)
    said = f"training the judge of {domain.name}, once: it is kept in {path.parent}"
    logger.info(said)
    tell(said)
    judge = train_judge(domain, seed=seed, settings=settings)
    try:
        _save(judge, path)
    except OSError as error:
        logger.warning("the judge of %s is not kept, and is trained again next time: %s", domain.name, error)
    return judge


def judge_path(
    domain: Domain, *, cache: Path, seed: int, settings: TrainingSettings = JUDGE_TRAINING
) -> Path:
    """Return the file that holds the judge of exactly these images, architecture, settings and seed."""
    name = kept_name(domain, [str(_blank_network(domain)), settings.model_dump_json(), str(seed)])
    return cache / "judges" / f"{name}.safetensors"


def _blank_network(domain: Domain) -> ImageClassifier:
    _, channels, _, size = domain.train.images.shape
    return build_classifier(channels, size, domain.classes, torch.Generator())


def _load(path: Path, domain: Domain) -> Judge:
    tensors = load_file(path)
    real = FeatureStatistics(tensors.pop(_MEAN), tensors.pop(_COVARIANCE))
    network = _blank_network(domain)
    network.load_state_dict({name.removeprefix(_NETWORK): tensor for name, tensor in tensors.items()})
    return Judge(domain.name, network.eval().requires_grad_(False), real)


def _save(judge: Judge, path: Path) -> None:
    """Write the judge so that the file appears complete or not at all."""
    tensors = {_NETWORK + name: value.contiguous() for name, value in judge.network.state_dict().items()}
    tensors |= {_MEAN: judge.real.mean, _COVARIANCE: judge.real.covariance}
    write_atomically(path, save(tensors))
