"""What clients of all methods for classifiers share: the client's own network, and how it is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, normalise
from huscf_flwr.data.augmentation import augmented
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.models import state_on_cpu, weight_dtype
from huscf_flwr.models.classifiers import ClassifierNetwork, classifier_of
from huscf_flwr.models.optimisers import MOMENTUM, SGD
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Losses

CROSS_ENTROPY = "classifier"
"""Name of the loss that all such methods have."""

_WEIGHTS, _KEPT = "weights.", "momentum."
_IMAGES_AT_ONCE = 500


@dataclass(frozen=True)
class ExtraLoss:
    """What a method adds to the cross entropy.

    Attributes:
        name: by which its mean, without the weight, is told.
        weight: by which it is multiplied before it is added.
        of: from a batch's features [B, p] and labels [B] to a scalar.
    """

    name: str
    weight: float
    of: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ClassMeans:
    """Means of the features of the classes that a client holds.

    Attributes:
        means: [C_k, p].
        classes: which classes these are, ascending.
        counts: images of each.
    """

    means: Tensor
    classes: tuple[int, ...]
    counts: tuple[int, ...]


def held_classes(labels: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the classes among ``labels`` [N], ascending, and how often each is there."""
    counts = torch.bincount(labels)
    classes = counts.nonzero().squeeze(1)
    return tuple(classes.tolist()), tuple(counts[classes].tolist())


def class_means(features: Tensor, labels: Tensor) -> ClassMeans:
    """Return the means of ``features`` [N, p] of each class among ``labels`` [N], on their device."""
    classes, counts = held_classes(labels)
    means = [features[labels == each].double().mean(0) for each in classes]
    return ClassMeans(torch.stack(means).to(features.dtype), classes, counts)


class ClassifierTraining:
    """A client's classifier with its optimiser, stochastic gradient descent with momentum.

    Both are built when they are first needed. Momentum goes on from round to round, as the moments of Adam do
    in the other methods; the official code of FedProto makes a new optimiser in every round.
    """

    def __init__(
        self, client: int, config: RunConfig, *, make: Callable[[], ClassifierNetwork] | None = None
    ) -> None:
        """Train the client's own member of the family, or what ``make`` builds on the run's device."""
        self._client = client
        self._config = config
        self._device = device_of(config.compute)
        self._make = make or self._own
        self._trained: tuple[ClassifierNetwork, SGD] | None = None

    @property
    def network(self) -> ClassifierNetwork:
        """The network, in training mode."""
        return self._network_and_optimiser()[0]

    def train(
        self,
        images: LabelledImages,
        *,
        epochs: int,
        number: int,
        extra: ExtraLoss | None = None,
        gradient_norm: float = math.inf,
        learning_rate: float | None = None,
        purpose: str = "classifier",
    ) -> Iterator[Losses]:
        """Train for some passes over ``images`` in round ``number``; yield the losses of each batch.

        They are those of ``batches``. Gradients of a larger norm than ``gradient_norm`` are scaled down to
        it. A ``learning_rate`` takes the place of the configured one.
        """
        configured = self._config.classifier.learning_rate
        self._network_and_optimiser()[1].learning_rate = (
            configured if learning_rate is None else learning_rate
        )
        for pixels, labels in self.batches(images, epochs=epochs, number=number, purpose=purpose):
            yield self.step(pixels, labels, extra, gradient_norm)

    def batches(
        self, images: LabelledImages, *, epochs: int, number: int, purpose: str = "classifier"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of some passes over ``images`` in round ``number``.

        Of each the pixels [B, C, H, W], as the network takes them, and the labels [B]. The passes are
        shuffled, and images changed as ``classifier.augmentation`` says, by streams named by seed,
        ``purpose``, client and round. The last batch of a pass has what is left, be it one image: GroupNorm
        needs no second.
        """
        order_of, changes = (
            torch_stream(self._config.seed, f"{purpose} {what}", self._client, number)
            for what in ("order", "augmentation")
        )
        for _ in range(epochs):
            order = torch.randperm(len(images), generator=order_of)
            for chosen in torch.split(order, self._config.batch_size):
                pixels = self._augmented(images.images[chosen], changes)
                yield pixels, images.labels[chosen]

    def features_of(self, images: Tensor) -> Tensor:
        """Return the features [N, p] of ``images`` [N, C, H, W], uint8 or in [-1, 1], on the CPU.

        In evaluation mode, without gradients, some hundred images at a time.
        """
        return self._in_parts(images, self.network.features)

    def logits_of(self, images: Tensor) -> Tensor:
        """Return the logits [N, classes] in the same way as ``features_of`` the features."""
        return self._in_parts(images, self.network)

    def class_means(self, images: LabelledImages) -> ClassMeans:
        """Return the mean features of the classes among ``images``, with the weights as they are now."""
        return class_means(self.features_of(images.images), images.labels)

    @contextmanager
    def standing_still(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """Give the extractor, from pixels [B, C, H, W] to features [B, p], on the network's device.

        Gradients reach the pixels and not the weights, and the network is in evaluation mode.
        """
        network = self.network
        network.eval().requires_grad_(False)
        try:
            yield network.features
        finally:
            network.train().requires_grad_(True)

    def weights(self) -> dict[str, Tensor]:
        """Return the weights alone, as ``states`` has them."""
        return with_prefix(_WEIGHTS, state_on_cpu(self.network))

    def states(self) -> dict[str, Tensor]:
        """Return weights and momentum by name, on the CPU; live tensors unless the device is another."""
        network, optimiser = self._network_and_optimiser()
        momentum = {
            f"{_KEPT}{name}": optimiser.state[parameter][MOMENTUM].cpu()
            for name, parameter in network.named_parameters()
            if optimiser.state[parameter].get(MOMENTUM) is not None
        }
        return {**self.weights(), **momentum}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with what ``states`` returned; other names are ignored.

        Raises ``RuntimeError`` if they are of another network.
        """
        network, optimiser = self._network_and_optimiser()
        network.load_state_dict(below_prefix(_WEIGHTS, tensors))
        optimiser.state.clear()
        for name, parameter in network.named_parameters():
            if f"{_KEPT}{name}" in tensors:
                buffer = torch.empty_like(parameter).copy_(tensors[f"{_KEPT}{name}"])
                optimiser.state[parameter][MOMENTUM] = buffer

    def _network_and_optimiser(self) -> tuple[ClassifierNetwork, SGD]:
        if self._trained is None:
            network = self._make()
            section = self._config.classifier
            optimiser = SGD(network.parameters(), section.learning_rate, section.momentum)
            self._trained = network, optimiser
        return self._trained

    def step(
        self,
        pixels: Tensor,
        labels: Tensor,
        extra: ExtraLoss | None = None,
        gradient_norm: float = math.inf,
    ) -> Losses:
        """Take a step on a batch, as ``batches`` gives it; return its losses by name."""
        network, optimiser = self._network_and_optimiser()
        labels = labels.to(self._device)
        features = network.features(pixels)
        total = functional.cross_entropy(network.head(features), labels)
        losses = {CROSS_ENTROPY: total.detach()}
        if extra is not None:
            added = extra.of(features, labels)
            losses[extra.name] = added.detach()
            total = total + extra.weight * added
        optimiser.zero_grad()
        torch.autograd.backward(total)
        if gradient_norm < math.inf:
            nn.utils.clip_grad_norm_(network.parameters(), gradient_norm)
        optimiser.step()
        return {name: float(loss) for name, loss in losses.items()}

    def _own(self) -> ClassifierNetwork:
        return classifier_of(self._config, self._client, dtype=dtype_of(self._config), device=self._device)

    def _in_parts(self, images: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        with self._at_rest():
            parts = [function(self.pixels_of(part)).cpu() for part in torch.split(images, _IMAGES_AT_ONCE)]
        return torch.cat(parts)

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        self.network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.network.train()

    def _augmented(self, images: Tensor, stream: torch.Generator) -> Tensor:
        changed = augmented(self.pixels_of(images), self._config.classifier.augmentation, stream)
        return changed.contiguous(memory_format=torch.channels_last)

    def pixels_of(self, images: Tensor) -> Tensor:
        """Return images [N, C, H, W] as the network takes them: on its device, in [-1, 1], channels last."""
        dtype = weight_dtype(dtype_of(self._config))
        images = images.to(self._device)
        pixels = normalise(images, dtype) if images.dtype == torch.uint8 else images.to(dtype)
        return pixels.contiguous(memory_format=torch.channels_last)
