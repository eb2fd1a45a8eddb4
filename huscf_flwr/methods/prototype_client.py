"""Clients that send class means of their features and are drawn to what the server makes of all of them."""

from __future__ import annotations

from abc import abstractmethod
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
    ClassMeans,
    ExtraLoss,
)
from huscf_flwr.methods.contract import Classifier, Order, Tensors, Upload
from huscf_flwr.methods.named_tensors import below_prefix
from huscf_flwr.methods.own_classifiers import OwnClassifierClient
from huscf_flwr.session import Losses

CLASS_MEANS = "class_means"
"""Up: ``means`` [C_k, p], the means of a client's features for the classes that it holds, ascending."""

_PROTOTYPE = "prototype"
"""Name of the loss that draws features to global prototypes, and of the classifier by the nearest of them."""


class PrototypeClient(OwnClassifierClient):
    """A client's classifier, which never leaves it, and the global prototypes that it received last.

    A subclass says under which names these come, and how strongly they attract.
    """

    losses: ClassVar = (CROSS_ENTROPY, _PROTOTYPE)
    received_kind: ClassVar[str]
    """Kind of tensors that has the global prototypes and, as ``classes`` [K], int64, whose they are."""
    received_rows: ClassVar[str]
    """Name of the prototypes [K, p] in it."""

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._global: Tensors = {}
        self._own: ClassMeans | None = None
        self._round = 0

    @property
    @abstractmethod
    def attraction(self) -> float:
        """Weight of the distance to the global prototypes, beside the cross entropy."""

    def begin(self, number: int, order: Order) -> None:
        """Take the global prototypes over; before the first are known, an order has none."""
        self._take(order)
        self._round, self._own = number, None

    def train(self) -> Iterator[Losses]:
        """Train for the local epochs, and then take the class means with the weights that they led to.

        FedProto's official code collects the means of the last epoch's batches while the weights still move;
        HtFLlib takes them anew in evaluation mode, and so does this.
        """
        prototypes, known = self._by_class()

        def distance(features: Tensor, labels: Tensor) -> Tensor:
            """Return the mean over batch and features; images of classes without one add zero to it."""
            targets = torch.where(known[labels].unsqueeze(1), prototypes[labels], features.detach())
            return functional.mse_loss(features, targets)

        yield from self.training.train(
            self.images,
            epochs=self.config.local_epochs,
            number=self._round,
            extra=ExtraLoss(_PROTOTYPE, self.attraction, distance),
        )
        self._own = self.training.class_means(self.images)

    def upload(self) -> Upload:
        """Return the class means; raises ``RuntimeError`` before ``train`` has come to its end."""
        if self._own is None:
            raise RuntimeError(f"client {self.client} has not trained in round {self._round}")
        return Upload(tensors={CLASS_MEANS: {"means": self._own.means}})

    def begin_evaluation(self, order: Order) -> None:
        """Take over the global prototypes, to classify by what came of the last round."""
        self._take(order)

    def classifiers(self) -> Mapping[str, Classifier]:
        """Return the one by the head, and that by the nearest prototype once any have been received."""
        found: dict[str, Classifier] = {"": self.training.logits_of}
        if self._global:
            found[_PROTOTYPE] = self._closeness
        return found

    def private(self) -> Tensors:
        """Return weights and momentum, and the global prototypes that it received last."""
        received = {f"{self.received_kind}.{name}": tensor for name, tensor in self._global.items()}
        return {**super().private(), **received}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the client starts anew."""
        super().load_private(tensors)
        self._global = below_prefix(f"{self.received_kind}.", tensors)

    def _take(self, order: Order) -> None:
        self._global = order.tensors.get(self.received_kind, self._global)

    def _closeness(self, images: Tensor) -> Tensor:
        """Return minus the squared distance [N, C] of the images' features to the global prototypes.

        It is minus infinity for classes without one.
        """
        prototypes, known = (each.cpu() for each in self._by_class())
        features = self.training.features_of(images)
        distances = torch.cdist(features, prototypes, compute_mode="donot_use_mm_for_euclid_dist")
        return (-distances.square()).masked_fill(~known, -torch.inf)

    def _by_class(self) -> tuple[Tensor, Tensor]:
        """Return the global prototypes [C, p], and which are known, bool [C]; the others are zero."""
        head = self.training.network.head.weight
        found, known = torch.zeros_like(head), torch.zeros(len(head), dtype=torch.bool, device=head.device)
        if self._global:
            classes = self._global["classes"].to(head.device)
            found[classes] = self._global[self.received_rows].to(found)
            known[classes] = True
        return found, known
