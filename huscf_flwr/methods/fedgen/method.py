"""FedGen's server: it trains a generator of features on the heads of all clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.contract import Collected, Description, Form, Orders, Outcome, State, Tensors
from huscf_flwr.methods.crossing import check_kept
from huscf_flwr.methods.fedgen.client import FedGenClient
from huscf_flwr.methods.fedgen.crossing import CLASSES, CROSSING, GENERATOR
from huscf_flwr.methods.fedgen.generator import Heads
from huscf_flwr.methods.fedgen.settings import FedGenSettings
from huscf_flwr.methods.fedgen.training import GeneratorTraining
from huscf_flwr.methods.held_classes import described_by
from huscf_flwr.methods.label_counts import LabelCounts, check_counts
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.own_classifiers import OwnClassifiers, told_everybody
from huscf_flwr.methods.sample_averages import averaged_tensors
from huscf_flwr.methods.shared_heads import HEAD, head_form
from huscf_flwr.models import weight_dtype
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.session import TensorHeader

_GENERATOR, _HEAD, _LEARNT = "generator.", "head.", "learnt"


class FedGen(OwnClassifiers):
    """Data-free distillation through a generator of features (arXiv 2105.10056), for clients that differ.

    In the paper all clients have the same network. Here only the features have the same width, so only heads
    go up; the server trains the generator on all of them, so that they recognise what it makes of a label,
    and clients learn from what it makes. The losses and the optimiser are the official code's, and the
    weights those for MNIST, but for ``fedgen.weight``, which is HtFLlib's. Ours are: heads are heard on each
    label by their clients' shares of it, as the paper has it and the code does not; shares are of all images
    of the client, not of those of the last round; labels that nobody has held so far are not generated; and
    the noise is normal, as in the paper.

    Attributes:
        training: the generator and its optimiser.
        learnt: bool [C]: classes that the generator has been trained on.
        head: the average of the last round's heads; before the first there is none.
    """

    name: ClassVar = "fedgen"
    Settings: ClassVar = FedGenSettings
    client: ClassVar = FedGenClient
    crossing: ClassVar = CROSSING

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start with a generator that has learnt nothing.

        Raises ``ValueError`` if a client counts other classes than the model has.
        """
        super().__init__(config, clients)
        self.settings = config.settings(FedGenSettings)
        described = described_by(self.clients, LabelCounts, method=self.name)
        check_counts(described, self.spec)
        self._counts = {client: torch.tensor(each.counts) for client, each in described.items()}
        self.training = GeneratorTraining(config, self.spec.classes, self.family.features)
        self.learnt = torch.zeros(self.spec.classes, dtype=torch.bool)
        self.head: dict[str, Tensor] = {}
        self._dtype, self._device = weight_dtype(dtype_of(config)), device_of(config.compute)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - as of now
        """Return the generator, and the averaged head if clients begin with it; at first nothing."""
        if not self.head:
            return told_everybody(clients, {})
        learnt = self.learnt.nonzero().squeeze(1)
        parts: dict[str, Tensors] = {GENERATOR: {**self.training.weights(), CLASSES: learnt}}
        if self.settings.heads == "averaged":
            parts[HEAD] = self.head
        return told_everybody(clients, parts)

    def form(self, client: int) -> Form:  # noqa: ARG002 - the same for all
        """Return types and shapes of a head."""
        return {HEAD: head_form(self.spec.classes, self.family.features, self._dtype)}

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Average the heads of those that took part, and train the generator on them."""
        sent = {client: collected.uploads[client].tensors[HEAD] for client in sorted(collected.uploads)}
        self.head = averaged_tensors(sent, {client: self.clients[client].samples for client in sent})
        counts = torch.stack([self._counts[client] for client in sent])
        held = counts.sum(dim=0) > 0
        student = {name: tensor.to(self._device) for name, tensor in self.head.items()}
        losses = self.training.train(
            number, self._heads(list(sent.values()), counts), student, held.nonzero().squeeze(1)
        )
        self.learnt = self.learnt | held
        return Outcome(facts=losses)

    def state(self) -> State:
        """Return the generator with its optimiser, the averaged head, and which classes it has learnt."""
        generator = with_prefix(_GENERATOR, self.training.state())
        return State({}, {**generator, **with_prefix(_HEAD, self.head), _LEARNT: self.learnt})

    def load(self, state: State) -> None:
        """Go on from ``state``; raises ``ValueError`` if it is of another generator or head."""
        head = head_form(self.spec.classes, self.family.features, self._dtype)
        due = {
            **with_prefix(_GENERATOR, self.training.form(below_prefix(_GENERATOR, state.tensors))),
            **(with_prefix(_HEAD, head) if below_prefix(_HEAD, state.tensors) else {}),
            _LEARNT: TensorHeader.of(self.learnt),
        }
        check_kept("a generator of features:", state.tensors, due)
        self.training.load(below_prefix(_GENERATOR, state.tensors))
        self.head = below_prefix(_HEAD, state.tensors)
        self.learnt = state.tensors[_LEARNT]

    def _heads(self, heads: Sequence[Tensors], counts: Tensor) -> Heads:
        shares = counts / counts.sum(dim=0).clamp(min=1)
        stacked = (torch.stack([head[name] for head in heads]) for name in ("weight", "bias"))
        return Heads(*(each.to(self._device) for each in (*stacked, shares.to(self._dtype))))
