"""Generated images as a data set, and whether a classifier can learn the real task from it.

*Train on synthetic, test on real* asks for what generated images are good for: a classifier that never
saw a real image is trained on them and tested on the domain's real test images. It falls when images are
wrong for their label, when they lack variety, and when they differ from real ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.data import LabelledImages
from huscf_flwr.data.progress import counted
from huscf_flwr.evaluation.classifier import TrainingSettings, predict, train_classifier
from huscf_flwr.evaluation.scores import ClassificationScores, DivergedError, classification_scores
from huscf_flwr.models import Sampler

_IMAGES_AT_ONCE = 500


def balanced_labels(count: int, classes: int) -> Tensor:
    """Return labels 0, 1, ..., classes-1, 0, 1, ... int64 [count]: no two classes differ by more than 1."""
    return torch.arange(count) % classes


@torch.no_grad()
def draw_images(sampler: Sampler, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return one generated image for each label, float32 [N, C, H, W].

    Raises:
        ValueError: if there are no labels.
        DivergedError: if an image has a pixel that is not a finite number.
    """
    if len(labels) == 0:
        raise ValueError("no images were asked for: give at least one label")
    parts = counted(torch.split(labels, _IMAGES_AT_ONCE), len(labels), "drawing images", each=_IMAGES_AT_ONCE)
    images = torch.cat([sampler(part, generator).float() for part in parts])
    broken = int((~images.isfinite()).flatten(1).any(dim=1).sum())
    if broken:
        raise DivergedError(
            f"{broken} of {len(images)} generated images have pixels that are not finite numbers: "
            f"the generator has diverged; try a smaller learning rate"
        )
    return images


def train_on_synthetic_test_on_real(
    images: Tensor,
    labels: Tensor,
    test: LabelledImages,
    *,
    classes: int,
    settings: TrainingSettings,
    generator: torch.Generator,
    name: str = "a domain",
) -> ClassificationScores:
    """Train a new classifier on generated images [N, C, H, W] and score it on real test images.

    Whoever is told how far it is reads the ``name`` of what the images are to look like.

    The authors train theirs for 15 epochs on 29,952 images (Metrics/evaluation.py; 30,000 less what a
    floor division by the batch size drops).
    """
    what = f"steps of training a classifier on images drawn for {name}"
    classifier = train_classifier(images, labels, classes, settings, generator, what=what)
    probabilities, _ = predict(classifier, test.images)
    return classification_scores(probabilities.argmax(dim=1), test.labels)
