"""CCVR's client: a classifier of its own, whose head is averaged and, in the end, calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.federation.class_statistics import class_statistics
from huscf_flwr.methods.ccvr.crossing import CALIBRATED_HEAD, STATISTICS, CCVROrder
from huscf_flwr.methods.classifier_training import CROSS_ENTROPY
from huscf_flwr.methods.contract import Classifier, Order, Tensors, Upload
from huscf_flwr.methods.label_counts import LabelCounts, counted
from huscf_flwr.methods.own_classifiers import OwnClassifierClient
from huscf_flwr.methods.shared_heads import HEAD, head_of, take_head
from huscf_flwr.session import Losses


class CCVRClient(OwnClassifierClient):
    """A client's classifier, whose extractor never leaves it, and the calibrated head if there is one."""

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._told = CCVROrder(trains=True, measures=False)
        self._calibrated: Tensors = {}
        self._round = 0

    def describe(self) -> LabelCounts:
        """Return what the server is told before the first round: the images of each label too."""
        return LabelCounts(samples=len(self.images), device=self.profile, counts=counted(self))

    def begin(self, number: int, order: Order) -> None:
        """Take over the averaged head, if there is one and the client is to train."""
        assert isinstance(order.facts, CCVROrder)
        self._told, self._round = order.facts, number
        if self._told.trains and HEAD in order.tensors:
            take_head(self.training.network, order.tensors[HEAD])

    def train(self) -> Iterator[Losses]:
        """Train for the local epochs; a client that is only to measure says how its classifier does."""
        if self._told.trains:
            return self.training.train(self.images, epochs=self.config.local_epochs, number=self._round)
        logits = self.training.logits_of(self.images.images)
        return iter([{CROSS_ENTROPY: float(functional.cross_entropy(logits, self.images.labels))}])

    def upload(self) -> Upload:
        """Return the head, if it was trained, and the statistics of the features, if they are asked for."""
        tensors: dict[str, Tensors] = {}
        if self._told.trains:
            tensors[HEAD] = head_of(self.training.network)
        if self._told.measures:
            found = class_statistics(self.training.features_of(self.images.images), self.images.labels)
            tensors[STATISTICS] = {"means": found.means, "covariances": packed(found.covariances)}
        return Upload(tensors=tensors)

    def begin_evaluation(self, order: Order) -> None:
        """Take over the calibrated head, once there is one."""
        self._calibrated = order.tensors.get(CALIBRATED_HEAD, {})

    def classifiers(self) -> Mapping[str, Classifier]:
        """Return that with the calibrated head, or its own before there is one, and that with its own."""
        own = self.training.logits_of
        return {"": self._calibrated_logits if self._calibrated else own, "uncalibrated": own}

    def _calibrated_logits(self, images: Tensor) -> Tensor:
        features = self.training.features_of(images)
        return functional.linear(features, self._calibrated["weight"], self._calibrated["bias"])


def packed(matrices: Tensor) -> Tensor:
    """Return the upper triangles [K, p (p + 1) / 2] of symmetric ``matrices`` [K, p, p], row by row."""
    rows, columns = torch.triu_indices(matrices.shape[1], matrices.shape[1])
    return matrices[:, rows, columns]


def unpacked(triangles: Tensor, size: int) -> Tensor:
    """Return the symmetric matrices [K, p, p] of ``size`` p that ``packed`` made ``triangles`` of."""
    rows, columns = torch.triu_indices(size, size)
    matrices = triangles.new_zeros(len(triangles), size, size)
    matrices[:, rows, columns] = triangles
    matrices[:, columns, rows] = triangles
    return matrices
