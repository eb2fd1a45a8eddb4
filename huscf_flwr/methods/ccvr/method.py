"""CCVR's server: it averages heads, and after the last round calibrates the average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.config import RunConfig
from huscf_flwr.federation.class_statistics import ClassStatistics, drawn_features, pooled_statistics
from huscf_flwr.methods.ccvr.client import CCVRClient, unpacked
from huscf_flwr.methods.ccvr.crossing import CALIBRATED_HEAD, CROSSING, STATISTICS, CCVROrder
from huscf_flwr.methods.ccvr.settings import CCVRSettings
from huscf_flwr.methods.contract import Collected, Description, Form, Order, Orders, Outcome, State, Tensors
from huscf_flwr.methods.crossing import check_kept
from huscf_flwr.methods.held_classes import described_by
from huscf_flwr.methods.label_counts import LabelCounts, check_counts
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.own_classifiers import EVERYBODY, OwnClassifiers, told_everybody
from huscf_flwr.methods.sample_averages import averaged_tensors
from huscf_flwr.methods.shared_heads import HEAD, head_form
from huscf_flwr.models import weight_dtype
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import TensorHeader

_HEAD, _CALIBRATED = "head.", "calibrated."


class CCVR(OwnClassifiers):
    """Classifier calibration with virtual representations (arXiv 2106.05001), for clients that differ.

    In the paper all clients have the same network, which is averaged. Here only the features have the same
    width, so only heads are averaged, by numbers of images. In the last round all clients that can be reached
    send class means and unbiased covariances of their features; those that were not drawn for it do not
    train. From these the server computes what all features of a class have together, draws features of each
    class, and trains the averaged head on them, and nothing else. Clients are scored with the calibrated head
    behind their own extractors, and beside it with their own. Ours are: that heads stay averaged during
    training, and how often the drawn features are passed over.

    Attributes:
        head: the average of the last heads that came; before the first round there is none.
        calibrated: the same after calibration; before the last round there is none.
    """

    name: ClassVar = "ccvr"
    Settings: ClassVar = CCVRSettings
    client: ClassVar = CCVRClient
    crossing: ClassVar = CROSSING

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start without a head; raises ``ValueError`` if a client counts other classes than the model has."""
        super().__init__(config, clients)
        self.settings = config.settings(CCVRSettings)
        described = described_by(self.clients, LabelCounts, method=self.name)
        check_counts(described, self.spec)
        self._counts = {client: torch.tensor(each.counts) for client, each in described.items()}
        self.head: dict[str, Tensor] = {}
        self.calibrated: dict[str, Tensor] = {}
        self._dtype = weight_dtype(dtype_of(config))
        self._told: Mapping[int, CCVROrder] = {}

    def select(self, number: int, available: Sequence[int]) -> tuple[int, ...]:
        """Return who takes part: in the last round everybody."""
        if number < self.rounds(self.config):
            return super().select(number, available)
        return tuple(sorted(available))

    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return the averaged head for those that train, and who is to send what."""
        measures = number >= self.rounds(self.config)
        train = set(super().select(number, clients)) if measures else set(clients)
        self._told = {k: CCVROrder(trains=k in train, measures=measures) for k in clients}
        groups = (EVERYBODY,) if self.head else ()
        return Orders(
            clients={
                k: Order(facts=told, groups=groups if told.trains else ()) for k, told in self._told.items()
            },
            groups={EVERYBODY: {HEAD: self.head}} if self.head else {},
        )

    def evaluation_orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - as of now
        """Return the calibrated head, once there is one."""
        return told_everybody(clients, {CALIBRATED_HEAD: self.calibrated} if self.calibrated else {})

    def form(self, client: int) -> Form:
        """Return types and shapes of the head, of the statistics, or of both, as the client was told."""
        told, features = self._told[client], self.family.features
        form: dict[str, dict[str, TensorHeader]] = {}
        if told.trains:
            form[HEAD] = head_form(self.spec.classes, features, self._dtype)
        if told.measures:
            held = int((self._counts[client] > 0).sum())
            form[STATISTICS] = {
                "means": TensorHeader(self._dtype, (held, features)),
                "covariances": TensorHeader(self._dtype, (held, features * (features + 1) // 2)),
            }
        return form

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Average the heads that came, and calibrate the average if statistics came with them."""
        uploads = {client: collected.uploads[client].tensors for client in sorted(collected.uploads)}
        heads = {client: tensors[HEAD] for client, tensors in uploads.items() if HEAD in tensors}
        if heads:
            self.head = averaged_tensors(heads, {client: self.clients[client].samples for client in heads})
        self.calibrated = {}
        sent = {client: tensors[STATISTICS] for client, tensors in uploads.items() if STATISTICS in tensors}
        if not (sent and self.head):
            return Outcome()
        pooled = pooled_statistics({client: self._statistics(client, own) for client, own in sent.items()})
        self.calibrated, loss = self._calibrate(number, pooled)
        return Outcome(facts={"calibration_loss": loss})

    def state(self) -> State:
        """Return both heads."""
        return State({}, {**with_prefix(_HEAD, self.head), **with_prefix(_CALIBRATED, self.calibrated)})

    def load(self, state: State) -> None:
        """Go on from both heads of ``state``; raises ``ValueError`` if they are no heads of this run."""
        form = head_form(self.spec.classes, self.family.features, self._dtype)
        due = {
            f"{prefix}{name}": header
            for prefix in (_HEAD, _CALIBRATED)
            for name, header in form.items()
            if below_prefix(prefix, state.tensors)
        }
        check_kept("heads", state.tensors, due)
        self.head = below_prefix(_HEAD, state.tensors)
        self.calibrated = below_prefix(_CALIBRATED, state.tensors)

    def _statistics(self, client: int, sent: Tensors) -> ClassStatistics:
        counts = self._counts[client]
        classes = counts.nonzero().squeeze(1)
        covariances = unpacked(sent["covariances"], self.family.features)
        return ClassStatistics(classes, counts[classes], sent["means"], covariances)

    def _calibrate(self, number: int, statistics: ClassStatistics) -> tuple[dict[str, Tensor], float]:
        """Return the averaged head after training on drawn features, and the mean loss of the last pass."""
        section, device = self.config.classifier, device_of(self.config.compute)
        stream = torch_stream(self.config.seed, "virtual features", number)
        features, labels = drawn_features(statistics, self.settings.virtual, stream)
        features, labels = features.to(device, self._dtype), labels.to(device)
        head = {name: each.to(device).clone().requires_grad_() for name, each in self.head.items()}
        sgd = torch.optim.SGD(head.values(), lr=section.learning_rate, momentum=section.momentum)
        losses: list[float] = []
        for _ in range(self.settings.epochs):
            losses = []
            for chosen in torch.split(torch.randperm(len(labels), generator=stream), self.config.batch_size):
                logits = functional.linear(features[chosen], head["weight"], head["bias"])
                loss = functional.cross_entropy(logits, labels[chosen])
                sgd.zero_grad()
                torch.autograd.backward(loss)
                sgd.step()
                losses.append(float(loss.detach()))
        return {name: each.detach().cpu() for name, each in head.items()}, sum(losses) / len(losses)
