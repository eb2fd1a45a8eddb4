"""The small convolutional classifier that both measures of quality stand on, and how it is trained.

The *judge* of a domain is this network trained on the domain's real images; *train on synthetic, test
on real* trains the same network on generated ones. Its layer before the logits serves as feature space
for the Fréchet distance.

Training is built for a CPU: channels-last float32, large steps at first and vanishing ones at the end
(one-cycle learning rate), which reaches its accuracy in a few passes. What a training costs is bounded
by `TrainingSettings.images_seen`, whatever the size of the data set. All random numbers come from the
generator that the caller gives, so that neither weights nor order depend on global state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from huscf_flwr.data import normalise
from huscf_flwr.data.progress import counted
from huscf_flwr.models.initialising import uninitialised

_IMAGES_AT_ONCE = 500


class TrainingSettings(BaseModel):
    """How a classifier is trained.

    Attributes:
        epochs: passes over the images (default: 10; the authors' `evaluation.py` makes 15 without a
            learning rate schedule).
        images_seen: upper limit on epochs x images; large sets get fewer passes (default: 100,000).
        batch: images a step (default: 64).
        learning_rate: the peak of the one-cycle schedule of Adam (default: 0.003).
        shift: images are moved by up to so many pixels in both directions at random (default: 0).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=10, ge=1)
    images_seen: int = Field(default=100_000, ge=1)
    batch: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=3e-3, gt=0)
    shift: int = Field(default=0, ge=0)

    def steps(self, images: int) -> int:
        """Return the number of optimiser steps for so many images; at least one."""
        return max(1, min(self.epochs * images, self.images_seen) // min(self.batch, images))


class ImageClassifier(nn.Module):
    """Three convolutions, the first two with stride 2, then the feature layer and the logits.

    Args:
        channels: of the images.
        size: height and width of the images in pixels.
        classes: number of logits.
        features: width of the layer before the logits.
    """

    def __init__(self, channels: int, size: int, classes: int, features: int = 64) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_convolution(channels, 32, kernel=5, stride=2),
            *_convolution(32, 64, kernel=5, stride=2),
            *_convolution(64, 64, kernel=3, stride=1),
        )
        self.project = nn.Linear(64 * math.ceil(size / 4) ** 2, features)
        self.classify = nn.Linear(features, classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the feature layer [N, F] of images [N, C, H, W] in [-1, 1]."""
        return functional.relu(self.project(self.convolutions(images).flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [N, classes] of images [N, C, H, W] in [-1, 1]."""
        logits: Tensor = self.classify(self.features(images))
        return logits


def build_classifier(channels: int, size: int, classes: int, generator: torch.Generator) -> ImageClassifier:
    """Build a classifier whose weights are all drawn from `generator` (He's initialisation)."""
    classifier = uninitialised(lambda: ImageClassifier(channels, size, classes))
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return classifier.to(memory_format=torch.channels_last)


def train_classifier(
    images: Tensor,
    labels: Tensor,
    classes: int,
    settings: TrainingSettings,
    generator: torch.Generator,
    *,
    what: str = "steps of training a classifier",
) -> ImageClassifier:
    """Train a new classifier and return it in evaluation mode.

    Args:
        images: uint8 [N, C, S, S], or floating point in [-1, 1].
        labels: int64 [N], in 0..classes-1.
        classes: number of logits.
        settings: epochs, batch size and so on.
        generator: source of the weights, the order and the shifts.
        what: is being done, for whoever is told how far it is.

    Raises:
        ValueError: if there are fewer than two images (batch normalisation needs two).
    """
    if len(images) < 2:
        raise ValueError(f"a classifier cannot be trained on {len(images)} image(s): give at least two")
    classifier = build_classifier(images.shape[1], images.shape[-1], classes, generator).train()
    steps = settings.steps(len(images))
    optimiser = torch.optim.Adam(classifier.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=steps + 1)
    for indices in counted(_batches(len(images), settings.batch, steps, generator), steps, what):
        batch = shift_at_random(as_input(images[indices]), settings.shift, generator)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(functional.cross_entropy(classifier(batch), labels[indices]))
        optimiser.step()
        schedule.step()
    return classifier.eval()


@torch.no_grad()
def predict(classifier: ImageClassifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return class probabilities [N, classes] and features [N, F] of images (uint8, or in [-1, 1])."""
    features = [classifier.features(as_input(part)) for part in torch.split(images, _IMAGES_AT_ONCE)]
    joined = torch.cat(features)
    return classifier.classify(joined).softmax(dim=1), joined


def as_input(images: Tensor) -> Tensor:
    """Return images as the classifier takes them: channels-last float32 in [-1, 1]."""
    pixels = normalise(images) if images.dtype == torch.uint8 else images.float()
    return pixels.contiguous(memory_format=torch.channels_last)


def shift_at_random(images: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Move each image by its own -shift..shift pixels on both axes; what comes in repeats the edge."""
    if shift == 0:
        return images
    count, _, height, width = images.shape
    offsets = torch.randint(-shift, shift + 1, (2, count, 1), generator=generator)
    rows = (torch.arange(height) + offsets[0]).clamp(0, height - 1)
    columns = (torch.arange(width) + offsets[1]).clamp(0, width - 1)
    pixels = images.permute(0, 2, 3, 1)
    moved = pixels[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def _batches(images: int, batch: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield `steps` batches of full size, each pass over the images in a new order."""
    size = min(batch, images)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(order) < size:
            order = torch.cat([order, torch.randperm(images, generator=generator)])
        yield order[:size]
        order = order[size:]
