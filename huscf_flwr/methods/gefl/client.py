"""GeFL's clients: first they train a generator that is averaged, then classifiers of their own with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages, denormalise, together
from huscf_flwr.methods.classifier_training import CROSS_ENTROPY, ClassifierTraining
from huscf_flwr.methods.contract import Classifier, Order, Tensors, Upload
from huscf_flwr.methods.gefl.autoencoder import autoencoder_spec, autoencoder_step
from huscf_flwr.methods.gefl.crossing import GENERATOR, GeFLOrder
from huscf_flwr.methods.gefl.settings import GeFLSettings
from huscf_flwr.methods.generators import drawing_from
from huscf_flwr.methods.held_classes import HeldClasses, described
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.whole_networks import SentNetworksClient
from huscf_flwr.models import ModelSpec
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Losses
from huscf_flwr.split import Batch

_CLASSIFIER, _MOMENTS = "classifier.", "moments."
_IMAGES_AT_ONCE = 500


class GeFLClient(SentNetworksClient):
    """A client with a classifier that never leaves it; here the generator is that of a GAN."""

    losses: ClassVar = ("discriminator", "generator", CROSS_ENTROPY)
    phases: ClassVar = ("generate", "classify")

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self.training = ClassifierTraining(client, config)
        self.settings = config.settings(GeFLSettings)
        self._told = GeFLOrder(classifies=False, classes=())
        self._generator: Tensors = {}
        self._moments: Tensors = {}

    def describe(self) -> HeldClasses:
        """Return what the server is told before the first round: which classes there are too."""
        return described(self)

    def begin(self, number: int, order: Order) -> None:
        """Take the networks over, or the generator alone if it is the classifier that is to be trained."""
        assert isinstance(order.facts, GeFLOrder)
        self._told = order.facts
        self.phase = "classify" if self._told.classifies else "generate"
        if self._told.classifies:
            self._generator = order.tensors[GENERATOR]
            self.begin_round(number)
        else:
            super().begin(number, order)
            self.networks.load_moments(self._moments)

    def train(self) -> Iterator[Losses]:
        """Train the networks for the local epochs, or the classifier on drawn images and its own."""
        return self._classify() if self._told.classifies else super().train()

    def upload(self) -> Upload:
        """Return the networks, if they were trained."""
        return Upload() if self._told.classifies else super().upload()

    def classifiers(self) -> Mapping[str, Classifier]:
        """Return its only one; before it is trained, it is the one that it begins with."""
        return {"": self.training.logits_of}

    def private(self) -> Tensors:
        """Return weights and momentum of the classifier; while there is a generator to train, its moments."""
        moments = {} if self._told.classifies else self.networks.moments()
        return {**with_prefix(_CLASSIFIER, self.training.states()), **with_prefix(_MOMENTS, moments)}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the client starts anew."""
        if tensors:
            self.training.load(below_prefix(_CLASSIFIER, tensors))
        self._moments = below_prefix(_MOMENTS, tensors)

    def drawn(self) -> LabelledImages:
        """Return as many images as it has itself, drawn anew in each round, of labels drawn all alike."""
        stream = torch_stream(self.config.seed, "drawn images", self.client, self._round)
        classes = torch.tensor(self._told.classes)
        labels = classes[torch.randint(len(classes), (len(self.images),), generator=stream)]
        draw = drawing_from(self.config, self._generator)
        parts = [denormalise(draw(part, stream)) for part in torch.split(labels, _IMAGES_AT_ONCE)]
        return LabelledImages(torch.cat(parts), labels)

    def _classify(self) -> Iterator[Losses]:
        images, epochs, drawn = self.images, self.config.local_epochs, self.drawn()
        if self.settings.mixing == "together":
            images = together([images, *[drawn] * self.settings.drawn_epochs])
        else:
            yield from self.training.train(
                drawn, epochs=self.settings.drawn_epochs, number=self._round, purpose="drawn"
            )
        yield from self.training.train(images, epochs=epochs, number=self._round)


class GeFLAutoencoderClient(GeFLClient):
    """A client with a classifier that never leaves it; the generator is that of an autoencoder."""

    losses: ClassVar = ("reconstruction", "divergence", CROSS_ENTROPY)

    @property
    def spec(self) -> ModelSpec:
        """Of decoder and encoder."""
        return autoencoder_spec(super().spec)

    def take_step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Train both on one batch; return the losses, scalars, by name."""
        return autoencoder_step(self.networks, batch, divergence_weight=self.settings.divergence_weight)
