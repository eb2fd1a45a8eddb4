"""How good a generator is for one domain, in one call.

There are two depths: `judge_quickly` after each round (label fidelity and generation score: one pass of
the judge), and `judge_domain` at the end, which adds the Fréchet distance and trains a classifier on
generated images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Domain
from huscf_flwr.evaluation.classifier import TrainingSettings
from huscf_flwr.evaluation.inception import inception_fid, load_inception
from huscf_flwr.evaluation.judge import Judge
from huscf_flwr.evaluation.scores import (
    FeatureStatistics,
    frechet_distance,
    generation_score,
    label_fidelity,
)
from huscf_flwr.evaluation.synthetic import balanced_labels, draw_images, train_on_synthetic_test_on_real
from huscf_flwr.models import Sampler

LEAST_ACCURACY = 0.8
"""A judge that is right less often, on real test images, is warned of."""

JUDGE_SEED = 0
"""Judges do not depend on the run, so that runs of different seeds are judged alike."""


@dataclass(frozen=True)
class Judged:
    """What the owner of data found of a product: scores by name, and how many test images it has."""

    samples: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class EvaluationSettings:
    """How many images are generated for what.

    Attributes:
        images: for label fidelity, generation score and Fréchet distance.
        synthetic_images: to train the classifier that is tested on real images; 0 leaves it out.
        synthetic_training: how that classifier is trained.
        inception: file with Inception's weights, for a second Fréchet distance; None leaves it out.
        cache: folder in which the Inception features of real images are kept.
    """

    images: int = 2_000
    synthetic_images: int = 10_000
    synthetic_training: TrainingSettings = field(default_factory=TrainingSettings)
    inception: Path | None = None
    cache: Path = Path()

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: if `images` is less than 2, or `synthetic_images` is 1 or less than 0.
        """
        if self.images < 2:
            raise ValueError(f"evaluation.images is {self.images}: give at least 2")
        if self.synthetic_images < 0 or self.synthetic_images == 1:
            raise ValueError(
                f"evaluation.synthetic_images is {self.synthetic_images}: give 0 to leave training on "
                f"synthetic images out, else at least 2"
            )


def evaluation_settings(config: RunConfig) -> EvaluationSettings:
    """Return how many images are drawn for what."""
    section = config.evaluation
    return EvaluationSettings(
        images=section.images,
        synthetic_images=section.synthetic_images,
        inception=section.inception,
        cache=config.data.cache,
    )


@dataclass(frozen=True)
class DomainScores:
    """What is known of a generator's quality for one domain; `None` is not computed.

    Attributes:
        label_fidelity: share of images that the judge takes for the label asked for, in [0, 1].
        generation_score: in [1, classes].
        fid: Fréchet distance between the judge's features of generated and of real training images.
        tstr_accuracy: of a classifier trained on generated and tested on real test images, in [0, 1].
        tstr_precision: its macro precision.
        tstr_recall: its macro recall.
        tstr_f1: its macro F1.
        tstr_fpr: its macro false positive rate.
        judge_accuracy: of the judge on the real test images, in [0, 1]: how good the instrument is.
        inception_fid: as ``fid``, between the features of Inception v3, if its weights are there.
    """

    label_fidelity: float | None = None
    generation_score: float | None = None
    fid: float | None = None
    tstr_accuracy: float | None = None
    tstr_precision: float | None = None
    tstr_recall: float | None = None
    tstr_f1: float | None = None
    tstr_fpr: float | None = None
    judge_accuracy: float | None = None
    inception_fid: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """Return the values under the names that `metrics.jsonl` and `summary.json` use.

        `inception_fid` is among them only if it was computed, so that most tables have no such column.
        """
        values = asdict(self)
        if self.inception_fid is None:
            del values["inception_fid"]
        return values


def judge_quickly(
    domain: Domain, sampler: Sampler, judge: Judge, settings: EvaluationSettings, generator: torch.Generator
) -> DomainScores:
    """Return label fidelity and generation score of `settings.images` images with balanced labels.

    Raises:
        ValueError: if the judge is another domain's.
        DivergedError: if the generator has diverged.
    """
    _check_judge(judge, domain)
    labels = balanced_labels(settings.images, domain.classes)
    probabilities, _ = judge.look_at(draw_images(sampler, labels, generator))
    return DomainScores(
        label_fidelity=label_fidelity(probabilities, labels),
        generation_score=generation_score(probabilities),
    )


def judge_domain(
    domain: Domain, sampler: Sampler, judge: Judge, settings: EvaluationSettings, generator: torch.Generator
) -> DomainScores:
    """Return all scores of a generator for one domain.

    Args:
        domain: its training images are the judge's, its test images test the classifier that is trained
            on generated ones. Without test images those scores are `None`.
        sampler: the generator to judge.
        judge: the domain's.
        settings: how many images.
        generator: source of z, and of the new classifier's weights and order.

    Raises:
        ValueError: if the judge is another domain's.
        DivergedError: if the generator has diverged.
    """
    _check_judge(judge, domain)
    drawn = max(settings.images, settings.synthetic_images)
    labels = balanced_labels(drawn, domain.classes)
    images = draw_images(sampler, labels, generator)
    probabilities, features = judge.look_at(images[: settings.images])
    return DomainScores(
        label_fidelity=label_fidelity(probabilities, labels[: settings.images]),
        generation_score=generation_score(probabilities),
        fid=frechet_distance(FeatureStatistics.of(features), judge.real),
        **_synthetic_scores(images, labels, domain, settings, generator),
        judge_accuracy=accuracy_of(judge, domain),
        inception_fid=_inception_fid(images[: settings.images], domain, settings),
    )


def accuracy_of(judge: Judge, domain: Domain) -> float | None:
    """Return the share of the domain's test images whose label the judge finds; None without test images."""
    return judge.accuracy(domain.test.images, domain.test.labels) if len(domain.test) else None


def doubts(whose: str, accuracy: float | None) -> tuple[str, ...]:
    """Return in a sentence that a judge of such ``accuracy`` on real test images says little; mostly nothing.

    ``whose`` images it judges, in words.
    """
    if accuracy is None or accuracy >= LEAST_ACCURACY:
        return ()
    return (
        f"the judge of {whose} is right on {accuracy:.3f} of the real test images, less than "
        f"{LEAST_ACCURACY}: label fidelity, generation score and FID mean little there; give it more or "
        "clearer images (huscf data check)",
    )


def _check_judge(judge: Judge, domain: Domain) -> None:
    if judge.domain != domain.name:
        raise ValueError(f"the judge of {judge.domain} cannot judge {domain.name}: give {domain.name}'s own")


def _inception_fid(images: Tensor, domain: Domain, settings: EvaluationSettings) -> float | None:
    if settings.inception is None:
        return None
    return inception_fid(load_inception(settings.inception), domain, images, cache=settings.cache)


def _synthetic_scores(
    images: Tensor,
    labels: Tensor,
    domain: Domain,
    settings: EvaluationSettings,
    generator: torch.Generator,
) -> dict[str, float]:
    count = settings.synthetic_images
    if count == 0 or len(domain.test) == 0:
        return {}
    scores = train_on_synthetic_test_on_real(
        images[:count],
        labels[:count],
        domain.test,
        classes=domain.classes,
        settings=settings.synthetic_training,
        generator=generator,
        name=domain.name,
    )
    return {f"tstr_{name}": value for name, value in asdict(scores).items()}
