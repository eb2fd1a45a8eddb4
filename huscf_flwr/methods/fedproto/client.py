"""FedProto's client: a classifier of its own, drawn to the global class means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.classifier_training import (
    CROSS_ENTROPY,
    ClassifierTraining,
    ClassMeans,
    ExtraLoss,
    held_classes,
)
from huscf_flwr.methods.contract import Classifier, MessageClient, Order, Tensors, Upload
from huscf_flwr.methods.fedproto.crossing import CLASS_MEANS, GLOBAL_MEANS, FedProtoDescription
from huscf_flwr.methods.fedproto.settings import FedProtoSettings
from huscf_flwr.session import Losses

_PROTOTYPE = "prototype"
"""Name of the loss that draws features to the global means, and of the classifier by the nearest of them."""
_CLASSES, _MEANS = "global_means.classes", "global_means.means"


class FedProtoClient(MessageClient):
    """A client's classifier, which never leaves it, and the global means that it received last."""

    losses: ClassVar = (CROSS_ENTROPY, _PROTOTYPE)

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self.training = ClassifierTraining(client, config)
        self._settings = config.settings(FedProtoSettings)
        self._global: Tensors = {}
        self._own: ClassMeans | None = None
        self._round = 0

    def describe(self) -> FedProtoDescription:
        """Return what the server is told before the first round: which classes there are too.

        How many images there are of each is only told if means are weighted by it.
        """
        classes, counts = held_classes(self.images.labels)
        return FedProtoDescription(
            samples=len(self.images),
            device=self.profile,
            classes=classes,
            counts=counts if self._settings.means == "counts" else None,
        )

    def begin(self, number: int, order: Order) -> None:
        """Take the global means over; before the first are known, an order has none."""
        self._take(order)
        self._round, self._own = number, None

    def train(self) -> Iterator[Losses]:
        """Train for the local epochs, and then take the class means with the weights that they led to.

        The official code collects the means of the last epoch's batches while the weights still move; HtFLlib
        takes them anew in evaluation mode, and so does this.
        """
        means, known = self._by_class()

        def distance(features: Tensor, labels: Tensor) -> Tensor:
            """Return the mean over batch and features; images of classes without a mean add zero to it."""
            targets = torch.where(known[labels].unsqueeze(1), means[labels], features.detach())
            return functional.mse_loss(features, targets)

        yield from self.training.train(
            self.images,
            epochs=self.config.local_epochs,
            number=self._round,
            extra=ExtraLoss(_PROTOTYPE, self._settings.weight, distance),
        )
        self._own = self.training.class_means(self.images)

    def upload(self) -> Upload:
        """Return the class means; raises ``RuntimeError`` before ``train`` has come to its end."""
        if self._own is None:
            raise RuntimeError(f"client {self.client} has not trained in round {self._round}")
        return Upload(tensors={CLASS_MEANS: {"means": self._own.means}})

    def begin_evaluation(self, order: Order) -> None:
        """Take over the global means, to classify by what all clients found in the last round."""
        self._take(order)

    def classifiers(self) -> Mapping[str, Classifier]:
        """Return the one by the head, and that by the nearest global mean once any have been received."""
        found: dict[str, Classifier] = {"": self.training.logits_of}
        if self._global:
            found[_PROTOTYPE] = self._closeness
        return found

    def private(self) -> Tensors:
        """Return weights and momentum, and the global means that it received last."""
        received = {}
        if self._global:
            received = {_CLASSES: self._global["classes"], _MEANS: self._global["means"]}
        return {**self.training.states(), **received}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the client starts anew."""
        if tensors:
            self.training.load(tensors)
        if _CLASSES in tensors:
            self._global = {"classes": tensors[_CLASSES], "means": tensors[_MEANS]}

    def _take(self, order: Order) -> None:
        self._global = order.tensors.get(GLOBAL_MEANS, self._global)

    def _closeness(self, images: Tensor) -> Tensor:
        """Return minus the squared distance [N, C] of the images' features to the global means.

        It is minus infinity for classes without a mean.
        """
        means, known = (each.cpu() for each in self._by_class())
        features = self.training.features_of(images)
        distances = torch.cdist(features, means, compute_mode="donot_use_mm_for_euclid_dist")
        return (-distances.square()).masked_fill(~known, -torch.inf)

    def _by_class(self) -> tuple[Tensor, Tensor]:
        """Return the global means [C, p], and which are known, bool [C]; the others are zero."""
        head = self.training.network.head.weight
        means, known = torch.zeros_like(head), torch.zeros(len(head), dtype=torch.bool, device=head.device)
        if self._global:
            classes = self._global["classes"].to(head.device)
            means[classes] = self._global["means"].to(means)
            known[classes] = True
        return means, known
