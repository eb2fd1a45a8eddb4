"""FedVTC's server: what the features of all clients look like, and the average of their decoders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.federation.feature_statistics import FeatureStatistics, global_variance
from huscf_flwr.federation.prototypes import averaged_prototypes
from huscf_flwr.methods.batches import largest_epoch
from huscf_flwr.methods.contract import (
    Collected,
    Crossing,
    Description,
    Form,
    MessageClient,
    Method,
    Orders,
    Outcome,
    Parts,
    Product,
    State,
    Tensors,
    Upload,
    form_of,
)
from huscf_flwr.methods.crossing import check_kept, headers_of
from huscf_flwr.methods.fedvtc.client import FedVTCClient, OwnDecoderClient
from huscf_flwr.methods.fedvtc.crossing import (
    DECODER,
    OWN,
    SHARED,
    SPREAD,
    STATISTICS,
    FedVTCDescription,
)
from huscf_flwr.methods.fedvtc.distillation import Teacher, distil
from huscf_flwr.methods.fedvtc.drawing import initial_decoder, sampler_from
from huscf_flwr.methods.fedvtc.latents import GlobalStatistics
from huscf_flwr.methods.fedvtc.settings import FedVTCSettings
from huscf_flwr.methods.held_classes import check_classes, described_by
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.own_classifiers import OwnClassifiers, told_everybody
from huscf_flwr.methods.prototype_client import CLASS_MEANS
from huscf_flwr.methods.sample_averages import averaged_tensors
from huscf_flwr.models import CPU, Sampler, model_spec_of, state_on_cpu, weight_dtype
from huscf_flwr.models.decoders import load_decoder_spec
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import TensorHeader

_STATISTICS, _DECODER = "statistics.", "decoder."


class FedVTC(OwnClassifiers):
    """Classifiers that differ and stay where they are learn from drawn images (arXiv 2508.01669).

    A round has two phases on each client: the classifier is trained, and then, while it stands still, a
    decoder that draws the client's images from their features. The server averages class means, spreads and
    decoders. At the end everybody draws labelled images of all classes from them, and tunes its classifier on
    these.

    What is the paper's: the phases, what crosses (reviewers read that decoders do), normal distributions of
    features with a mean for each class and a variance for each client, a loss of reconstruction, one of
    divergence and one of matching, and tuning of the whole classifier. Formulas, aggregation, layers and all
    numbers are our reading. That features are whitened, that clients have a critic, and that the averaged
    decoder learns from those that were sent is ours.

    Attributes:
        statistics: of all clients' features, and of the vectors that images are drawn from.
        decoder: weights by name, averaged and distilled; None before anybody has trained one.
        sent: bool, by client, whether it has ever sent a decoder.
    """

    name: ClassVar = "fedvtc"
    version: ClassVar[int] = 2
    Settings: ClassVar = FedVTCSettings
    client: ClassVar[type[MessageClient]] = FedVTCClient
    crossing: ClassVar[Crossing] = SHARED

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start without statistics; raises ``ValueError`` if a client holds a class that the model lacks."""
        super().__init__(config, clients)
        self.settings = config.settings(FedVTCSettings)
        self._described = described_by(self.clients, FedVTCDescription, method=self.name)
        check_classes(self._described, self.spec)
        dtype = weight_dtype(dtype_of(config))
        rows = (self.spec.classes,) if self.settings.spread_of == "class" else ()
        self.statistics = GlobalStatistics(
            means=torch.zeros(self.spec.classes, self.family.features, dtype=dtype),
            known=torch.zeros(self.spec.classes, dtype=torch.bool),
            deviations=torch.ones(*rows, self.family.features, dtype=dtype),
        )
        self.decoder: dict[str, Tensor] | None = None
        self.sent = torch.zeros(max(self.clients) + 1, dtype=torch.bool)
        self._tuned = torch.tensor(0)
        self._number = 0

    @classmethod
    def variant(cls, config: RunConfig) -> type[Method]:
        """Return the class whose clients share their decoders, or the one whose clients do not."""
        if config.settings(FedVTCSettings).share_decoder or cls is not FedVTC:
            return cls
        return FedVTCOwnDecoders

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` if there is no such family or decoder, or the images are too small for it."""
        super().check(config)
        settings = config.settings(FedVTCSettings)
        settings.check()
        if settings.tunes_last and config.rounds < 2:
            raise ValueError(
                f"fedvtc.tuning is {settings.tuning}, but rounds is {config.rounds}: the decoder is trained "
                "from the second round on; set at least 2 rounds, or tuning=never"
            )
        load_decoder_spec(config.classifier.decoder)

    @classmethod
    def learning_rates(cls, config: RunConfig) -> tuple[float, ...]:
        """Return that of the classifiers, and that of the decoder."""
        return (*super().learning_rates(config), config.settings(FedVTCSettings).decoder_learning_rate)

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images with the decoder and from the statistics of a product."""
        device = device_of(config.compute)
        decoder = initial_decoder(config, device)
        decoder.load_state_dict(below_prefix(_DECODER, product))
        classes = model_spec_of(config).classes
        return sampler_from(
            decoder, GlobalStatistics.of_tensors(below_prefix(_STATISTICS, product), classes, device)
        )

    @classmethod
    def rounds(cls, config: RunConfig) -> int:
        """Return the rounds of the configuration, and one more if all tune their classifiers at the end."""
        return config.rounds + int(config.settings(FedVTCSettings).tunes_last)

    def select(self, number: int, available: Sequence[int]) -> tuple[int, ...]:
        """Return who takes part: for the last tuning everybody who is there."""
        return tuple(sorted(available)) if self._is_last(number) else super().select(number, available)

    def steps(self, number: int, clients: Sequence[int]) -> int:
        """Return the batches of the largest client, in all phases."""
        largest = max(self.clients[client].samples for client in clients)
        epoch = largest_epoch(self.clients, clients, self.config)
        tuning = self.settings.tuning_epochs * self._tuning_batches(number, largest)
        if self._is_last(number):
            return tuning
        before = self.settings.tuning == "every-round" and self._can_draw(number)
        decoding = self.settings.decoder_epochs * epoch if self.statistics.known.any() else 0
        return self.config.local_epochs * epoch + decoding + (tuning if before else 0)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return statistics and decoder, for everybody; before there are any, nothing."""
        self._number = number
        parts: dict[str, Tensors] = {}
        if self.statistics.known.any():
            parts[STATISTICS] = self.statistics.tensors()
        if self.decoder is not None:
            parts[DECODER] = self.decoder
        return told_everybody(clients, parts)

    def form(self, client: int) -> Form:
        """Return type and shape of what this client uploads: nothing in the last tuning."""
        told = len(self._described[client].classes)
        if self._is_last(self._number) or not told:
            return {}
        means = told, self.family.features
        spread = means if self.settings.spread_of == "class" else (self.family.features,)
        form = {
            CLASS_MEANS: {"means": TensorHeader(self.statistics.means.dtype, means)},
            SPREAD: {"deviations": TensorHeader(self.statistics.means.dtype, spread)},
        }
        if self.statistics.known.any() and DECODER in self.crossing.upload_kinds:
            form |= self._decoder_form
        return form

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Average class means, spreads and decoders of those that took part, and distil the decoder.

        Of two clients with a class, one with twice the images draws four times the vectors: the fewer images
        of a class a decoder has seen, the worse it draws them.
        """
        if self._is_last(number):
            self._tuned = torch.tensor(number)
            return Outcome()
        telling = {k: upload for k, upload in collected.uploads.items() if self._described[k].classes}
        before = self.statistics
        if telling:
            self._average_statistics(telling)
        drawing = {k: upload for k, upload in collected.uploads.items() if DECODER in upload.tensors}
        if drawing:
            samples = {client: self.clients[client].samples for client in drawing}
            average = averaged_tensors({k: each.tensors[DECODER] for k, each in drawing.items()}, samples)
            self.decoder = self._distilled(number, average, drawing, before)
            self.sent = self.sent.index_fill(0, torch.tensor(list(drawing)), True)
        return Outcome(facts={"known_classes": int(self.statistics.known.sum())})

    def products(self) -> list[Product]:
        """Return what draws images of every class: statistics and averaged decoder, once there is one."""
        if self.decoder is None:
            return []
        tensors = {
            **with_prefix(_STATISTICS, self.statistics.tensors()),
            **with_prefix(_DECODER, self.decoder),
        }
        return [Product("global", tuple(self.clients), tensors)]

    def state(self) -> State:
        """Return the statistics, and the decoder if there is one."""
        return State({}, {**self._kept(), **with_prefix(_DECODER, self.decoder or {})})

    def load(self, state: State) -> None:
        """Go on from ``state``; raises ``ValueError`` if it is not of these features, classes and spreads."""
        own = headers_of(self._kept())
        decoder = below_prefix(_DECODER, state.tensors)
        rest = {name: each for name, each in state.tensors.items() if not name.startswith(_DECODER)}
        check_kept("statistics of features:", rest, own)
        if decoder:
            what = f"a decoder that is not '{self.config.classifier.decoder}':"
            check_kept(what, decoder, self._decoder_form[DECODER])
        self.statistics = GlobalStatistics(
            *(state.tensors[name] for name in ("means", "known", "deviations"))
        )
        self.sent = state.tensors["sent"]
        self._tuned = self._checked_tuning(state.tensors["tuned"])
        self.decoder = decoder or None

    def _checked_tuning(self, tuned: Tensor) -> Tensor:
        number = int(tuned)
        if number and not self._is_last(number):
            raise ValueError(
                f"rounds is {self.config.rounds}, but all clients tuned their classifiers in round {number}, "
                f"and nothing is trained after that: set rounds={number - 1}, or begin anew"
            )
        return tuned

    def _kept(self) -> dict[str, Tensor]:
        found = self.statistics
        statistics = {"means": found.means, "known": found.known, "deviations": found.deviations}
        return {**statistics, "sent": self.sent, "tuned": self._tuned}

    def _is_last(self, number: int) -> bool:
        return number > self.config.rounds

    def _can_draw(self, number: int) -> bool:  # noqa: ARG002 - that is seen
        """Return whether clients have a trained decoder in round ``number``."""
        return self.decoder is not None

    def _tuning_batches(self, number: int, samples: int) -> int:
        """Return the batches of a pass over drawn images, and over a client's own as the settings say."""
        drawn = (
            self.settings.tuning_images * int(self.statistics.known.sum()) if self._can_draw(number) else 0
        )
        batch = self.config.batch_size
        if not drawn:
            return math.ceil(samples / batch)
        own = samples * self.settings.tuning_repeats
        match self.settings.tuning_real:
            case "shuffled":
                return math.ceil((drawn + own) / batch)
            case "after":
                return math.ceil(drawn / batch) + math.ceil(own / batch)
            case _:
                return math.ceil(drawn / batch)

    def _distilled(
        self,
        number: int,
        average: dict[str, Tensor],
        uploads: Mapping[int, Upload],
        before: GlobalStatistics,
    ) -> dict[str, Tensor]:
        """Return the average after it has learned what the decoders among ``uploads`` draw.

        ``before`` has the statistics that they were trained with.
        """
        if not self.settings.distillation_steps:
            return average
        device = device_of(self.config.compute)
        student = initial_decoder(self.config, device)
        student.load_state_dict(average)
        teachers = [
            Teacher(
                {name: weight.to(device) for name, weight in upload.tensors[DECODER].items()},
                self._trained_around(client, upload.tensors, before).to(device),
                self._images_of(client).square().to(device),
            )
            for client, upload in sorted(uploads.items())
        ]
        distil(
            student,
            teachers + self._earlier_teacher(uploads, before, device),
            self.statistics.to(device),
            steps=self.settings.distillation_steps,
            learning_rate=self.settings.distillation_learning_rate,
            stream=torch_stream(self.config.seed, "distillation", number),
        )
        # In the layout that a checkpoint gives back: convolutions round differently in another.
        return {
            name: weight.clone(memory_format=torch.contiguous_format)
            for name, weight in state_on_cpu(student).items()
        }

    def _trained_around(self, client: int, tensors: Parts, before: GlobalStatistics) -> Tensor:
        """Return the means [C, p] around which a client's decoder was trained to draw."""
        told = self._told_by(client, tensors)
        own = torch.zeros_like(self.statistics.means).index_copy(0, torch.tensor(told.classes), told.means)
        return own if self.settings.latents == "sampled" else before.means_or(own)

    def _earlier_teacher(
        self, uploads: Mapping[int, Upload], before: GlobalStatistics, device: torch.device
    ) -> list[Teacher]:
        """Return the decoder of before the round, in the place of those who sent one then and not now."""
        absent = [client for client in self.clients if self.sent[client] and client not in uploads]
        if self.decoder is None or not absent:
            return []
        weights = {name: weight.to(device) for name, weight in self.decoder.items()}
        shares = torch.stack([self._images_of(client).square() for client in absent]).sum(0)
        return [Teacher(weights, before.means.to(device), shares.to(device))]

    def _images_of(self, client: int) -> Tensor:
        """Return how many images of each class [C] a client has told of."""
        described = self._described[client]
        found = torch.zeros(len(self.statistics.known), dtype=torch.float64)
        found[list(described.classes)] = torch.tensor(described.counts, dtype=found.dtype)
        return found

    @cached_property
    def _decoder_form(self) -> dict[str, dict[str, TensorHeader]]:
        return form_of({DECODER: initial_decoder(self.config, CPU).state_dict()})

    def _average_statistics(self, uploads: Mapping[int, Upload]) -> None:
        told = {client: self._told_by(client, upload.tensors) for client, upload in uploads.items()}
        found, held = averaged_prototypes(
            {client: each.means for client, each in told.items()},
            {client: each.classes for client, each in told.items()},
            {client: each.counts for client, each in told.items()},
            total_classes=len(self.statistics.known),
            weighting="counts",
        )
        before = self.statistics
        means = torch.where(held.unsqueeze(1), found, before.means)
        per_class = self.settings.spread_of == "class"
        variance = global_variance(told, means, rule=self.settings.spread_rule, per_class=per_class)
        deviations = variance.clamp(min=self.settings.least_variance).sqrt()
        if per_class:
            deviations = torch.where(held.unsqueeze(1), deviations, before.deviations)
        self.statistics = GlobalStatistics(means, before.known | held, deviations)

    def _told_by(self, client: int, tensors: Parts) -> FeatureStatistics:
        described = self._described[client]
        return FeatureStatistics(
            means=tensors[CLASS_MEANS]["means"],
            classes=described.classes,
            counts=described.counts,
            spread=tensors[SPREAD]["deviations"],
        )


class FedVTCOwnDecoders(FedVTC):
    """The variant whose decoders stay on their clients, where they are judged too."""

    client: ClassVar[type[MessageClient]] = OwnDecoderClient
    crossing: ClassVar[Crossing] = OWN

    def steps(self, number: int, clients: Sequence[int]) -> int:
        """Return the batches of the largest client; before the last tuning it may have to train a decoder."""
        steps = super().steps(number, clients)
        if not self._is_last(number) or not self.statistics.known.any():
            return steps
        return steps + self.settings.decoder_epochs * largest_epoch(self.clients, clients, self.config)

    def _can_draw(self, number: int) -> bool:
        """Decoders are trained from the second round on."""
        return number > 2 and bool(self.statistics.known.any())
