"""FedGen's client: a classifier of its own, whose head learns from generated features too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.classifier_training import CROSS_ENTROPY, ExtraLoss
from huscf_flwr.methods.contract import Order, Tensors, Upload
from huscf_flwr.methods.fedgen.crossing import CLASSES, GENERATOR
from huscf_flwr.methods.fedgen.generator import FeatureGenerator
from huscf_flwr.methods.fedgen.settings import FedGenSettings
from huscf_flwr.methods.label_counts import LabelCounts, counted
from huscf_flwr.methods.own_classifiers import OwnClassifierClient
from huscf_flwr.methods.shared_heads import HEAD, head_of, take_head
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Losses

_GENERATED = "generated"
"""Name of the loss on generated features."""


class FedGenClient(OwnClassifierClient):
    """A client's classifier, whose extractor never leaves it."""

    losses: ClassVar = (CROSS_ENTROPY, _GENERATED)

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._settings = config.settings(FedGenSettings)
        self._received: Tensors = {}
        self._round = 0

    def describe(self) -> LabelCounts:
        """Return what the server is told before the first round: the images of each label too."""
        return LabelCounts(samples=len(self.images), device=self.profile, counts=counted(self))

    def begin(self, number: int, order: Order) -> None:
        """Take over the generator, and the averaged head if one comes; at first there is neither."""
        self._round = number
        self._received = order.tensors.get(GENERATOR, {})
        if HEAD in order.tensors:
            take_head(self.training.network, order.tensors[HEAD])

    def train(self) -> Iterator[Losses]:
        """Train for the local epochs, on images and generated features."""
        weight = self._settings.weight * self._settings.decay ** (self._round - 1)
        return self.training.train(
            self.images,
            epochs=self.config.local_epochs,
            number=self._round,
            extra=ExtraLoss(_GENERATED, weight, self._losses().of if self._received else _nothing),
        )

    def upload(self) -> Upload:
        """Return the head."""
        return Upload(tensors={HEAD: head_of(self.training.network)})

    def _losses(self) -> GeneratedLosses:
        weights = {name: tensor for name, tensor in self._received.items() if name != CLASSES}
        head = self.training.network.head
        noise, hidden = self._settings.noise, self._settings.hidden
        generator = FeatureGenerator(noise, head.out_features, hidden, head.in_features).to(head.weight)
        generator.load_state_dict(weights)
        generator.eval().requires_grad_(False)
        stream = torch_stream(self.config.seed, "generated features", self.client, self._round)
        classes = self._received[CLASSES].to(head.weight.device)
        return GeneratedLosses(generator, head, classes, stream, likeness=self._settings.likeness)


class GeneratedLosses:
    """What a client's head loses on generated features, and its predictions for images beside them."""

    def __init__(
        self,
        generator: FeatureGenerator,
        head: torch.nn.Linear,
        classes: Tensor,
        stream: torch.Generator,
        *,
        likeness: float,
    ) -> None:
        """Generate features of ``classes`` [K], int64, which the generator has learnt."""
        self._generator, self._head, self._classes, self._stream = generator, head, classes, stream
        self._likeness = likeness
        self._known = torch.zeros(head.out_features, dtype=torch.bool, device=classes.device)
        self._known[classes] = True

    def of(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of two means over a batch of features [B, p] of images with ``labels`` [B].

        The cross entropy of as many generated features, of labels drawn alike from all that are known; and,
        times ``likeness``, the KL divergence of the predictions for the images from those for generated
        features of the same labels, which is zero for labels that the generator has not learnt.
        """
        drawn = torch.randint(len(self._classes), (len(labels),), generator=self._stream)
        chosen = self._classes[drawn.to(labels.device)]
        taught = functional.cross_entropy(self._head(self._features(chosen)), chosen)
        target = functional.log_softmax(self._head(self._features(labels)).detach(), dim=1)
        predicted = functional.log_softmax(self._head(features), dim=1)
        apart = functional.kl_div(predicted, target, reduction="none", log_target=True).sum(dim=1)
        return taught + self._likeness * (apart * self._known[labels]).mean()

    def _features(self, labels: Tensor) -> Tensor:
        features: Tensor = self._generator(self._generator.draw_noise(len(labels), self._stream), labels)
        return features


def _nothing(features: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG001 - there is no generator yet
    return features.new_zeros(())
