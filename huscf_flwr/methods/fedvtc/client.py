"""FedVTC's client: a classifier that never leaves it, and a decoder that draws from features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages, together
from huscf_flwr.federation.feature_statistics import within_variance
from huscf_flwr.methods.classifier_training import (
    CROSS_ENTROPY,
    ClassifierTraining,
    ExtraLoss,
    class_means,
    held_classes,
)
from huscf_flwr.methods.contract import Classifier, Order, Tensors, Upload
from huscf_flwr.methods.fedvtc import losses
from huscf_flwr.methods.fedvtc.adversary import Adversary, initial_critic
from huscf_flwr.methods.fedvtc.crossing import DECODER, SPREAD, STATISTICS, FedVTCDescription
from huscf_flwr.methods.fedvtc.decoder_training import (
    ADVERSARIAL,
    CRITIC,
    DIVERGENCE,
    MATCHING,
    RECONSTRUCTION,
    DecoderTraining,
    OwnImages,
)
from huscf_flwr.methods.fedvtc.drawing import drawn_images, initial_decoder, sampler_from
from huscf_flwr.methods.fedvtc.latents import GlobalStatistics, whitened
from huscf_flwr.methods.fedvtc.settings import FedVTCSettings
from huscf_flwr.methods.held_classes import check_classes, described
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.own_classifiers import OwnClassifierClient
from huscf_flwr.methods.prototype_client import CLASS_MEANS
from huscf_flwr.models import Sampler, model_spec_of, state_on_cpu
from huscf_flwr.models.critics import Critic
from huscf_flwr.models.decoders import Decoder
from huscf_flwr.models.optimisers import half_cosine
from huscf_flwr.process import device_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Losses

CLASSIFY, DESCRIBE, DECODE, TUNE = "classify", "describe", "decode", "tune"
"""What a client does in a round, as ``docs/fedvtc.md`` has it."""
ALIGNMENT, TUNING = "alignment", "tuning"
"""Names of losses: of features that are drawn to the global means, and of drawn images."""

_UNTUNED = "untuned"
"""Name of the classifier as it was before the last tuning, and the prefix of its weights."""
_DEVIATIONS, _CRITIC, _DECODER, _STATISTICS = "deviations", "critic.", "decoder.", "statistics."


class FedVTCClient(OwnClassifierClient):
    """A client whose decoder is sent to the server after each round, and begins with the average of all."""

    losses: ClassVar = (
        *(CROSS_ENTROPY, ALIGNMENT, TUNING),
        *(RECONSTRUCTION, DIVERGENCE, MATCHING, ADVERSARIAL, CRITIC),
    )
    phases: ClassVar = (CLASSIFY, DESCRIBE, DECODE, TUNE)
    phase = CLASSIFY

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._round = 0
        self._statistics: GlobalStatistics | None = None
        self._deviations: Tensor | None = None
        self._means: Tensor | None = None
        self._can_draw = False
        self._untuned: Tensors = {}

    def describe(self) -> FedVTCDescription:
        """Return also of which classes the client has enough images, and how many."""
        check_classes({self.client: described(self)}, model_spec_of(self.config))
        classes, counts = held_classes(self.images.labels)
        enough = [(y, n) for y, n in zip(classes, counts, strict=True) if n >= self._settings.least_count]
        return FedVTCDescription(
            samples=len(self.images),
            device=self.profile,
            classes=tuple(y for y, _ in enough),
            counts=tuple(n for _, n in enough),
        )

    def begin(self, number: int, order: Order) -> None:
        """Take over what all clients' features look like, and the averaged decoder, once there are any."""
        self._round = number
        if not self._is_last:
            self._untuned = {}
        if STATISTICS in order.tensors:
            self._statistics = GlobalStatistics.of_tensors(
                order.tensors[STATISTICS], self._classes, self._device
            )
        if DECODER in order.tensors:
            self.decoder.load_state_dict(dict(order.tensors[DECODER]))
            self._can_draw = True

    @cached_property
    def decoder(self) -> Decoder:
        """The decoder, in the state that this client knows."""
        return initial_decoder(self.config)

    @cached_property
    def critic(self) -> Critic:
        """The critic, which nobody else sees."""
        return initial_critic(self.config, self.client)

    def train(self) -> Iterator[Losses]:
        """Train the classifier, describe its features, and then train the decoder; or tune the classifier.

        The first phase is over before the second begins, so that classifier and decoder are never trained at
        once. In the first round nothing is known of the others, and there is no second phase.
        """
        if self._is_last:
            self.phase = TUNE
            self._untuned = {name: tensor.clone() for name, tensor in self.training.weights().items()}
            yield from self._tune()
            return
        if self._settings.tuning == "every-round" and self._can_draw:
            yield from self._tune()
        self.phase = CLASSIFY
        yield from self.training.train(
            self.images,
            epochs=self.config.local_epochs,
            number=self._round,
            extra=self._alignment(),
            gradient_norm=self._settings.gradient_norm,
        )
        self.phase = DESCRIBE
        own = self._seen()
        self._describe_features(own)
        yield from self._train_decoder(own)

    def upload(self) -> Upload:
        """Return class means and spread, from the second round on the decoder; nothing after the last tuning.

        Raises ``RuntimeError`` before ``train`` has come to its end.
        """
        if self._is_last or not self._told:
            return Upload()
        if self._means is None or self._deviations is None:
            raise RuntimeError(f"client {self.client} has not trained in round {self._round}")
        told = list(self._told)
        deviations = self._deviations if self._deviations.ndim == 1 else self._deviations[told]
        tensors = {CLASS_MEANS: {"means": self._means[told].cpu()}, SPREAD: {"deviations": deviations.cpu()}}
        if self._sends_decoder and self._statistics is not None:
            tensors[DECODER] = state_on_cpu(self.decoder)
        return Upload(tensors=tensors)

    def classifiers(self) -> Mapping[str, Classifier]:
        """Return its classifier and, in a run that tunes, that before the last tuning, or the same."""
        found = dict(super().classifiers())
        if self._settings.tunes_last:
            found[_UNTUNED] = self.training.logits_of
        if self._untuned:
            before = ClassifierTraining(self.client, self.config)
            before.load(self._untuned)
            found[_UNTUNED] = before.logits_of
        return found

    def private(self) -> Tensors:
        """Return classifier and momentum, weights before the last tuning, critic, and a learned spread."""
        kept = {**super().private(), **with_prefix(f"{_UNTUNED}.", self._untuned)}
        if self._settings.adversarial:
            kept |= with_prefix(_CRITIC, state_on_cpu(self.critic))
        if self._deviations is not None and self._settings.spread == "learned":
            kept[_DEVIATIONS] = self._deviations.cpu()
        return kept

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the client starts anew."""
        super().load_private(tensors)
        self._untuned = below_prefix(f"{_UNTUNED}.", tensors)
        critic = below_prefix(_CRITIC, tensors)
        if critic:
            self.critic.load_state_dict(critic)
        if _DEVIATIONS in tensors:
            self._deviations = tensors[_DEVIATIONS].to(self._device)

    @property
    def _sends_decoder(self) -> bool:
        return True

    @cached_property
    def _settings(self) -> FedVTCSettings:
        return self.config.settings(FedVTCSettings)

    @cached_property
    def _device(self) -> torch.device:
        return device_of(self.config.compute)

    @cached_property
    def _classes(self) -> int:
        return model_spec_of(self.config).classes

    @cached_property
    def _told(self) -> tuple[int, ...]:
        """The classes that the server is told of."""
        return self.describe().classes

    @property
    def _is_last(self) -> bool:
        """Whether this round is the one after all others, for tuning alone."""
        return self._round > self.config.rounds

    def _alignment(self) -> ExtraLoss | None:
        """Return what draws features to the global means, its weight as this round has it."""
        weight = self._settings.alignment * min(1.0, (self._round - 1) / self._settings.alignment_rounds)
        statistics = self._statistics
        if statistics is None or not weight:
            return None

        def aligned(features: Tensor, labels: Tensor) -> Tensor:
            known = statistics.known[labels]
            if not known.any():
                return features.sum() * 0
            labels = labels[known]
            return losses.alignment(
                features[known], statistics.means[labels], statistics.deviations_of(labels)
            )

        return ExtraLoss(ALIGNMENT, weight, aligned)

    def _seen(self) -> OwnImages:
        """Return the images that the server may learn of, as the extractor sees them now.

        A decoder that is sent is not trained on others: what it draws at the mean of a class with one image
        is that image.
        """
        told = torch.tensor([label in self._told for label in self.images.labels.tolist()])
        images = self.images.subset(told.nonzero().flatten()) if self._sends_decoder else self.images
        labels = images.labels.to(self._device)
        features = self.training.features_of(images.images).to(self._device)
        means = features.new_zeros(self._classes, features.shape[1])
        if len(labels):
            found = class_means(features, labels)
            means[list(found.classes)] = found.means
        offsets = features - means[labels]
        if self._settings.latents == "whitened":
            directions, spread = self._settings.latent_directions, self._settings.latent_spread
            offsets = whitened(offsets, labels, directions=directions, spread=spread)
        return OwnImages(self.training.pixels_of(images.images), labels, features, means, offsets)

    def _describe_features(self, own: OwnImages) -> None:
        """Take down class means and, unless it has been learned since, the spread around them.

        It is that of the vectors that the decoder draws from.
        """
        self._means = own.means
        if not len(own.labels):
            return
        if self._deviations is None or self._settings.spread == "measured":
            told = torch.isin(own.labels, torch.tensor(self._told, device=self._device))
            rows = told if told.any() else ~told
            variance = self._measured(own.offsets[rows], own.labels[rows])
            self._deviations = variance.clamp(min=self._settings.least_variance).sqrt()

    def _measured(self, offsets: Tensor, labels: Tensor) -> Tensor:
        if self._settings.spread_of == "client":
            return within_variance(offsets, labels)
        variance = offsets.new_zeros(self._classes, offsets.shape[1])
        for each in held_classes(labels)[0]:
            variance[each] = within_variance(offsets[labels == each], labels[labels == each])
        return variance

    def _train_decoder(self, own: OwnImages) -> Iterator[Losses]:
        """Train it, if anything is known of all clients' features and there is an image to train on."""
        if self._statistics is None or self._deviations is None or not len(own.labels):
            return
        self.phase = DECODE
        order, noise = (
            torch_stream(self.config.seed, f"decoder {what}", self.client, self._round)
            for what in ("order", "noise")
        )
        with self.training.standing_still() as extractor:
            training = DecoderTraining(
                self.decoder,
                self._deviations,
                own,
                self._statistics,
                extractor,
                self._settings,
                self._adversary(),
            )
            yield from training.train(self.config.batch_size, order, noise)
            self._deviations = training.deviations
        self._can_draw = True

    def _adversary(self) -> Adversary | None:
        if not self._settings.adversarial:
            return None
        return Adversary(self.critic, self._settings.critic_learning_rate)

    def _tune(self) -> Iterator[Losses]:
        """Train the classifier on drawn images of every class, and on the client's own beside them.

        Where nothing can be drawn, since nobody has told of any class, on its own alone.
        """
        self.phase = TUNE
        stream = torch_stream(self.config.seed, "tuning images", self.client, self._round)
        drawn = self._drawn(stream)
        for number in range(self._settings.tuning_epochs):
            if number and self._settings.tuning_draws == "each-pass":
                drawn = self._drawn(stream)
            yield from self._tuning_pass(drawn, number)

    def _drawn(self, stream: torch.Generator) -> LabelledImages:
        """Return drawn images of every known class, if there is a decoder to draw them."""
        if self._statistics is None or not self._can_draw:
            return self.images.none
        settings = self._settings
        sample = sampler_from(self.decoder, self._statistics, spread=settings.tuning_spread)
        return drawn_images(sample, self._statistics, settings.tuning_images, stream)

    def _passes(self, drawn: LabelledImages) -> list[LabelledImages]:
        own = [self.images] * self._settings.tuning_repeats
        if not len(drawn):
            return [self.images]
        match self._settings.tuning_real:
            case "shuffled":
                return [together([drawn, *own])]
            case "after":
                return [drawn, together(own)]
            case _:
                return [drawn]

    def _tuning_pass(self, drawn: LabelledImages, number: int) -> Iterator[Losses]:
        for place, images in enumerate(self._passes(drawn)):
            for each in self.training.train(
                images,
                epochs=1,
                number=self._round,
                gradient_norm=self._settings.gradient_norm,
                learning_rate=self._tuning_rate(number),
                purpose=f"tuning {number}.{place}",
            ):
                yield {TUNING: each[CROSS_ENTROPY]}

    def _tuning_rate(self, number: int) -> float:
        """Return the learning rate of a pass, counted from zero."""
        settings = self._settings
        if settings.tuning_schedule == "constant":
            return settings.tuning_learning_rate
        return half_cosine(settings.tuning_learning_rate, number, settings.tuning_epochs)


class OwnDecoderClient(FedVTCClient):
    """A client whose decoder stays where it is, and has never seen a class that the client lacks."""

    def sampler(self) -> Sampler | None:
        """Return what its own decoder draws, once the client knows what the others' features look like."""
        if self._statistics is None or not self._can_draw:
            return None
        return sampler_from(self.decoder, self._statistics)

    def train(self) -> Iterator[Losses]:
        """Train as the others do; who has never trained a decoder does so before it tunes."""
        if self._is_last and not self._can_draw:
            self.phase = DESCRIBE
            own = self._seen()
            self._describe_features(own)
            yield from self._train_decoder(own)
        yield from super().train()

    def private(self) -> Tensors:
        """Return also the decoder, and the statistics that it received last."""
        received = {} if self._statistics is None else self._statistics.tensors()
        decoder = state_on_cpu(self.decoder) if self._can_draw else {}
        return {
            **super().private(),
            **with_prefix(_DECODER, decoder),
            **with_prefix(_STATISTICS, {name: tensor.cpu() for name, tensor in received.items()}),
        }

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the client starts anew."""
        super().load_private(tensors)
        decoder = below_prefix(_DECODER, tensors)
        if decoder:
            self.decoder.load_state_dict(decoder)
            self._can_draw = True
        received = below_prefix(_STATISTICS, tensors)
        if received:
            self._statistics = GlobalStatistics.of_tensors(received, self._classes, self._device)

    @property
    def _sends_decoder(self) -> bool:
        return False
