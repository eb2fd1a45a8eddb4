"""FedType-style training's client: a private model that never leaves it, and a proxy that does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.federation.conformal import prediction_sets, raps_scores, raps_threshold
from huscf_flwr.methods.classifier_training import CROSS_ENTROPY, ClassifierTraining, ExtraLoss
from huscf_flwr.methods.contract import Classifier, Order, Tensors, Upload
from huscf_flwr.methods.fedtype.crossing import PROXY
from huscf_flwr.methods.fedtype.losses import agreement, distillation_loss, ranking_loss
from huscf_flwr.methods.fedtype.settings import FedTypeSettings
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.own_classifiers import OwnClassifierClient
from huscf_flwr.models import model_spec_of, state_on_cpu
from huscf_flwr.models.classifier_spec import classifier_family_of
from huscf_flwr.models.classifiers import ClassifierNetwork, build_classifier
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Losses

_PRIVATE, _PROXY = "private.", "proxy."
_RANKING, _PROXYS, _DISTILLATION = "ranking", "proxy", "distillation"


def initial_proxy(config: RunConfig) -> ClassifierNetwork:
    """Return the proxy as it is before the first round, the same wherever it is built."""
    spec = model_spec_of(config)
    return build_classifier(
        classifier_family_of(config, spec),
        config.settings(FedTypeSettings).proxy,
        spec.image,
        spec.classes,
        torch_stream(config.seed, "proxy"),
        dtype=dtype_of(config),
        device=device_of(config.compute),
    )


class FedTypeClient(OwnClassifierClient):
    """A client's private model, and its copy of the proxy; both with their momentum."""

    losses: ClassVar = (CROSS_ENTROPY, _RANKING, _PROXYS, _DISTILLATION)

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self.proxy = ClassifierTraining(client, config, make=partial(initial_proxy, config))
        self._settings = config.settings(FedTypeSettings)
        self._round = 0

    def begin(self, number: int, order: Order) -> None:
        """Take the averaged proxy over; its momentum stays."""
        self._round = number
        self.proxy.network.load_state_dict(dict(order.tensors[PROXY]))

    def train(self) -> Iterator[Losses]:
        """Train both for the local epochs, each on every batch, with what the other said before it.

        How large sets are is calibrated at the beginning of the round on the client's own images, as in the
        public code: since both models have been trained on these, no share of misses is guaranteed.
        """
        private, proxy = self._settings.private_penalty, self._settings.proxy_penalty
        bounds = self._threshold(self.training, private), self._threshold(self.proxy, proxy)
        batches = self.training.batches(self.images, epochs=self.config.local_epochs, number=self._round)
        for pixels, labels in batches:
            own, shared = (model.logits_of(pixels) for model in (self.training, self.proxy))
            sets = self._sets(own, private, bounds[0]), self._sets(shared, proxy, bounds[1])
            learnt = self._learn_from_proxy(pixels, labels, *sets)
            yield {**learnt, **self._teach_proxy(pixels, labels, own)}

    def upload(self) -> Upload:
        """Return the proxy."""
        return Upload(tensors={PROXY: state_on_cpu(self.proxy.network)})

    def begin_evaluation(self, order: Order) -> None:
        """Take the averaged proxy over, to score it too."""
        self.proxy.network.load_state_dict(dict(order.tensors[PROXY]))

    def classifiers(self) -> Mapping[str, Classifier]:
        """Return the private model, and the proxy."""
        return {"": self.training.logits_of, _PROXYS: self.proxy.logits_of}

    def private(self) -> Tensors:
        """Return weights and momentum of both."""
        return {
            **with_prefix(_PRIVATE, self.training.states()),
            **with_prefix(_PROXY, self.proxy.states()),
        }

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the client starts anew."""
        if tensors:
            self.training.load(below_prefix(_PRIVATE, tensors))
            self.proxy.load(below_prefix(_PROXY, tensors))

    def _learn_from_proxy(self, pixels: Tensor, labels: Tensor, private: Tensor, proxy: Tensor) -> Losses:
        weight = self._settings.ranking * float(agreement(private, proxy).mean())
        head = self.training.network.head
        sets = proxy.to(head.weight.device)
        ahead = ExtraLoss(_RANKING, weight, lambda features, _: ranking_loss(head(features), sets))
        return self.training.step(pixels, labels, ahead)

    def _teach_proxy(self, pixels: Tensor, labels: Tensor, private: Tensor) -> Losses:
        head = self.proxy.network.head
        teacher, temperature = private.to(head.weight.device), self._settings.temperature

        def apart(features: Tensor, _: Tensor) -> Tensor:
            return distillation_loss(head(features), teacher, temperature=temperature)

        extra = ExtraLoss(_DISTILLATION, self._settings.distillation, apart)
        losses = self.proxy.step(pixels, labels, extra)
        return {_PROXYS: losses[CROSS_ENTROPY], _DISTILLATION: losses[_DISTILLATION]}

    def _scores(self, logits: Tensor, penalty: float) -> Tensor:
        return raps_scores(torch.softmax(logits, dim=1), free=self._settings.free, penalty=penalty)

    def _sets(self, logits: Tensor, penalty: float, bound: float) -> Tensor:
        return prediction_sets(self._scores(logits, penalty), bound)

    def _threshold(self, model: ClassifierTraining, penalty: float) -> float:
        scores = self._scores(model.logits_of(self.images.images), penalty)
        return raps_threshold(scores, self.images.labels, miss=self._settings.miss)
