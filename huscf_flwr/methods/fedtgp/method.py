"""FedTGP's server: it trains a prototype for each class on all clients' class means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.federation.prototypes import averaged_prototypes
from huscf_flwr.methods.contract import Collected, Description, Form, Orders, Outcome, State
from huscf_flwr.methods.crossing import check_kept, headers_of
from huscf_flwr.methods.fedtgp.client import FedTGPClient
from huscf_flwr.methods.fedtgp.crossing import CROSSING, GLOBAL_PROTOTYPES
from huscf_flwr.methods.fedtgp.prototypes import PrototypeNetwork, contrastive_loss, margin_of
from huscf_flwr.methods.fedtgp.settings import FedTGPSettings
from huscf_flwr.methods.held_classes import HeldClasses, check_classes, described_by
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.own_classifiers import OwnClassifiers, told_everybody
from huscf_flwr.methods.prototype_client import CLASS_MEANS
from huscf_flwr.models import state_on_cpu, weight_dtype
from huscf_flwr.models.initialising import built_from
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import TensorHeader

_NETWORK, _KNOWN = "network.", "known"


class FedTGP(OwnClassifiers):
    """Federated training of classifiers that differ, with trainable global prototypes (arXiv 2401.03230).

    Clients do what FedProto's do. The server does not average their class means: it trains prototypes that
    are near the means of their own class and, by a margin that adapts to how far the classes lie apart, away
    from those of others. Networks, loss, margin and optimiser are the official code's. Ours are: classes
    that nobody has held so far have no part in the loss, the official code pushes them away from all others;
    a distance of zero has a gradient of zero, where it has NaN; and nothing is sent before two classes are
    known, since one class has nothing to be kept apart from.

    Attributes:
        network: makes the prototypes.
        known: bool [C]: classes whose means anybody has sent.
    """

    name: ClassVar = "fedtgp"
    Settings: ClassVar = FedTGPSettings
    client: ClassVar = FedTGPClient
    crossing: ClassVar = CROSSING

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start with prototypes that nobody has trained.

        Raises ``ValueError`` if a client holds a class that the model lacks.
        """
        super().__init__(config, clients)
        self.settings = config.settings(FedTGPSettings)
        self._described = described_by(self.clients, HeldClasses, method=self.name)
        check_classes(self._described, self.spec)
        self._dtype, self._device = weight_dtype(dtype_of(config)), device_of(config.compute)
        make = partial(PrototypeNetwork, self.spec.classes, self.family.features)
        network = built_from(make, torch_stream(config.seed, "prototypes"))
        self.network = network.to(self._device, self._dtype)
        self.known = torch.zeros(self.spec.classes, dtype=torch.bool)

    @torch.no_grad()
    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - as of now
        """Return the prototypes of all known classes, for everybody; before there are two, nothing."""
        classes = self.known.nonzero().squeeze(1)
        if len(classes) < 2:
            return told_everybody(clients, {})
        prototypes = self.network(classes.to(self._device)).cpu()
        return told_everybody(clients, {GLOBAL_PROTOTYPES: {"classes": classes, "prototypes": prototypes}})

    def evaluation_orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return the prototypes that the last round has led to."""
        return self.orders(number, clients)

    def form(self, client: int) -> Form:
        """Return type and shape of the client's class means: one row for each class that it holds."""
        shape = len(self._described[client].classes), self.family.features
        return {CLASS_MEANS: {"means": TensorHeader(self._dtype, shape)}}

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Train the prototypes on the class means of those that took part."""
        means = {
            client: collected.uploads[client].tensors[CLASS_MEANS]["means"]
            for client in sorted(collected.uploads)
        }
        held = {client: self._described[client].classes for client in means}
        labels = torch.tensor([each for client in means for each in held[client]])
        self.known[labels] = True
        margin = self._margin(means, held)
        if int(self.known.sum()) > 1:
            self._train(number, torch.cat(list(means.values())), labels, margin)
        return Outcome(facts={"margin": margin})

    def state(self) -> State:
        """Return the network that makes prototypes, and which classes are known."""
        return State({}, {**with_prefix(_NETWORK, state_on_cpu(self.network)), _KNOWN: self.known})

    def load(self, state: State) -> None:
        """Go on from ``state``; raises ``ValueError`` if it is of another number of classes or features."""
        check_kept("prototypes:", state.tensors, headers_of(self.state().tensors))
        self.network.load_state_dict(below_prefix(_NETWORK, state.tensors))
        self.known = state.tensors[_KNOWN].clone()

    def _margin(self, means: Mapping[int, Tensor], held: Mapping[int, Sequence[int]]) -> float:
        averaged, there = averaged_prototypes(
            means,
            held,
            {client: (1,) * len(classes) for client, classes in held.items()},
            total_classes=len(self.known),
            weighting="clients",
        )
        return margin_of(averaged[there], self.settings.largest_margin)

    def _train(self, number: int, means: Tensor, labels: Tensor, margin: float) -> None:
        """Pass over all class means [N, p] of ``labels`` [N], in batches as large as the clients'."""
        classes = self.known.nonzero().squeeze(1)
        places = torch.searchsorted(classes, labels)
        sgd = torch.optim.SGD(self.network.parameters(), lr=self.settings.server_learning_rate)
        stream = torch_stream(self.config.seed, "prototype order", number)
        for _ in range(self.settings.server_epochs):
            for chosen in torch.split(torch.randperm(len(means), generator=stream), self.config.batch_size):
                loss = contrastive_loss(
                    means[chosen].to(self._device),
                    places[chosen].to(self._device),
                    self.network(classes.to(self._device)),
                    margin,
                )
                sgd.zero_grad()
                torch.autograd.backward(loss)
                sgd.step()
