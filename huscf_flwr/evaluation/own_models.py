"""Scores of models that stay on their clients: only these numbers cross.

They are filed by the images that they are about:

- ``test``: a client's own classifiers on the test images of its domain, which say how well they do on what
  others have;
- ``held_out``: the same on its held-out images, which say how well they do on what it has itself;
- ``generated``: what the client's own generator draws, judged on the client as a domain's is elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from statistics import mean, pstdev

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.config import RunConfig
from huscf_flwr.data import ClientData, Domain, LabelledImages, normalise
from huscf_flwr.evaluation.domain_scores import (
    JUDGE_SEED,
    DomainScores,
    evaluation_settings,
    judge_domain,
    judge_quickly,
)
from huscf_flwr.evaluation.judge import Judge, load_or_train_judge
from huscf_flwr.evaluation.scores import DivergedError, classification_scores
from huscf_flwr.extras import MissingExtraError
from huscf_flwr.methods.contract import Classifier, Client
from huscf_flwr.metrics import Metric, metrics_named
from huscf_flwr.models import Sampler, weight_dtype
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream

TEST, HELD_OUT, GENERATED = "test", "held_out", "generated"
"""Which images scores are about."""

CLASSIFIER_SCORES = ("accuracy", "f1", "loss")
"""What ``classifier_scores`` returns."""

OwnScores = Mapping[str, Mapping[str, float]]
"""Scores of one client's own models: by the images that they are about, then by name."""

SAMPLER_SCORES = frozenset(field.name for field in fields(DomainScores))
_CPU = torch.device("cpu")
_IMAGES_AT_ONCE = 500


def unknown_scores(listed: Collection[str]) -> list[str]:
    """Return which names of scores are neither a sampler's nor a classifier's, with or without its name."""
    of_classifiers = tuple(f"_{name}" for name in CLASSIFIER_SCORES)
    return [name for name in listed if name not in SAMPLER_SCORES and not f"_{name}".endswith(of_classifiers)]


def own_scores(
    member: Client,
    data: ClientData,
    config: RunConfig,
    *,
    listed: Collection[str],
    number: int,
    thoroughly: bool,
    judge_cache: Path,
) -> dict[str, dict[str, float]]:
    """Return the scores of a client's own models, by the images that they are about.

    Args:
        member: the client, as it is after a round.
        data: its images; ``test`` and ``held_out`` are absent from the result where it has none of these.
        config: of the run.
        listed: names of the scores that may cross, ``Crossing.scores``; no others are returned.
        number: of the round.
        thoroughly: add what takes long to the scores of a generator: Fréchet distance and training on
            synthetic images.
        judge_cache: folder in which the judge of the client's domain is kept, or is to be.

    Raises:
        DivergedError: naming the client and the model, if one of them has diverged.
        ValueError: naming them too, if what a model gives cannot be scored for another reason.
    """
    found = {
        TEST: _classified(member, data.test, config, listed),
        HELD_OUT: _classified(member, data.held_out, config, listed),
    }
    sampler = member.sampler() if any(name in listed for name in SAMPLER_SCORES) else None
    if sampler is not None:
        stream = torch_stream(config.seed, "judging", member.client, number)
        with _blaming(f"client {member.client}'s generator"):
            found[GENERATED] = _sampler_scores(sampler, data.domain, config, stream, thoroughly, judge_cache)
    may_cross = {
        on: {name: value for name, value in scores.items() if name in listed} for on, scores in found.items()
    }
    return {on: scores for on, scores in may_cross.items() if scores}


@torch.no_grad()
def classifier_scores(
    classify: Classifier,
    images: LabelledImages,
    *,
    device: torch.device = _CPU,
    dtype: torch.dtype = torch.float32,
) -> dict[str, float]:
    """Return ``accuracy``, ``f1`` (macro) and ``loss`` (mean cross-entropy) of a classifier; all are finite.

    Args:
        classify: from images [N, C, H, W] in [-1, 1] to logits [N, classes]. A logit of minus infinity rules
            a class out; where it rules out an image's true class, no loss can be known, and it is left out.
        images: at least one.
        device: where the classifier takes its images.
        dtype: in which type.

    Raises:
        ValueError: if there are no images, or a label has no logit.
        DivergedError: if no class can be chosen by the logits of an image: one is not a number or plus
            infinity, or all are minus infinity.
    """
    if not len(images):
        raise ValueError("there are no images to score: give at least one")
    logits = torch.cat(
        [
            classify(normalise(part.to(device), dtype)).to("cpu", torch.float64)
            for part in torch.split(images.images, _IMAGES_AT_ONCE)
        ]
    )
    _check(logits, images.labels)
    predicted = classification_scores(logits.argmax(dim=1), images.labels)
    loss = float(functional.cross_entropy(logits, images.labels))
    scores = {"accuracy": predicted.accuracy, "f1": predicted.f1, "loss": loss}
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def spread_of(scored: Mapping[int, OwnScores]) -> dict[str, dict[str, dict[str, float]]]:
    """Return how scores differ between clients: by images and by metric, three numbers.

    ``mean``: over the clients that have the score, each counting once, however many images it has. ``worst``:
    the value of the worst client, in the direction of the registered metric; the smallest if it has none.
    ``spread``: the standard deviation over those clients, with their number as denominator.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for _, own in sorted(scored.items()):
        for on, scores in own.items():
            for name, value in scores.items():
                found.setdefault(on, {}).setdefault(name, []).append(value)
    return {
        on: {metric.name: _spread(metric, values[metric.name]) for metric in metrics_named(values)}
        for on, values in found.items()
    }


def _spread(metric: Metric, values: list[float]) -> dict[str, float]:
    worst = max(values) if metric.better == "lower" else min(values)
    return {"mean": mean(values), "worst": worst, "spread": pstdev(values)}


def _classified(
    member: Client, images: LabelledImages, config: RunConfig, listed: Collection[str]
) -> dict[str, float]:
    """Return the scores of the classifiers that have listed ones; nothing if there are no images."""
    device, dtype = device_of(config.compute), weight_dtype(dtype_of(config))
    found: dict[str, float] = {}
    scored: dict[Classifier, dict[str, float]] = {}  # one classifier may have two names
    for name, classifier in member.classifiers().items() if len(images) else ():
        prefix = f"{name}_" if name else ""
        if not any(prefix + score in listed for score in CLASSIFIER_SCORES):
            continue
        if classifier not in scored:
            with _blaming(f"client {member.client}'s {f'{name} ' if name else ''}classifier"):
                scored[classifier] = classifier_scores(classifier, images, device=device, dtype=dtype)
        found |= {prefix + score: value for score, value in scored[classifier].items()}
    return found


def _sampler_scores(
    sampler: Sampler,
    domain: Domain,
    config: RunConfig,
    stream: torch.Generator,
    thoroughly: bool,
    judge_cache: Path,
) -> dict[str, float]:
    judge = judge_domain if thoroughly else judge_quickly
    known = _judge(domain, judge_cache, JUDGE_SEED)
    scores = judge(domain, sampler, known, evaluation_settings(config), stream).as_dict()
    return {name: value for name, value in scores.items() if value is not None}


@lru_cache(maxsize=4)
def _judge(domain: Domain, cache: Path, seed: int) -> Judge:
    """Return the judge of a loaded domain; finding it in the cache takes a look at all of its images."""
    return load_or_train_judge(domain, cache=cache, seed=seed)


@contextmanager
def _blaming(whose: str) -> Iterator[None]:
    try:
        yield
    except DivergedError as error:
        raise DivergedError(f"{whose}: {error}") from error
    except MissingExtraError:
        raise
    except ValueError as error:
        raise ValueError(f"{whose}: {error}") from error


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(f"its logits have shape {list(logits.shape)}, for {len(labels)} images")
    if int(labels.max()) >= logits.shape[1]:
        raise ValueError(f"an image has label {int(labels.max())}, but there are {logits.shape[1]} logits")
    diverged = (logits.isnan() | logits.isposinf()).any(dim=1) | logits.isneginf().all(dim=1)
    if diverged.any():
        # The reason crosses, so it does not tell how many images there are.
        raise DivergedError("some of its logits are not finite: it has diverged; try a smaller learning rate")
