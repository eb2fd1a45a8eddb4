"""The server of FedType-style training: it averages the proxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.contract import (
    Collected,
    Description,
    Form,
    Orders,
    Outcome,
    State,
    form_of,
)
from huscf_flwr.methods.crossing import check_kept, headers_of
from huscf_flwr.methods.fedtype.client import FedTypeClient, initial_proxy
from huscf_flwr.methods.fedtype.crossing import CROSSING, PROXY
from huscf_flwr.methods.fedtype.settings import FedTypeSettings
from huscf_flwr.methods.own_classifiers import OwnClassifiers, told_everybody
from huscf_flwr.methods.sample_averages import averaged_tensors, sample_weights
from huscf_flwr.models import model_spec_of, state_on_cpu
from huscf_flwr.models.classifier_spec import classifier_family_of


class FedType(OwnClassifiers):
    """Small proxies in place of models that differ: FedType-style training, after arXiv 2407.03247.

    From the paper are: one small proxy of the same architecture on every client, which is all that is
    exchanged, and averaged; that proxy and private model teach each other, without public data; and that the
    private model heeds the proxy as far as conformal sets of both say how sure it is. The public code cannot
    be run, since a module is missing, and its loss by these sets has no gradient to the model that is to
    learn. So this is a reading, and no reproduction: that loss ranks the private model's own logits, its
    weight is the share of classes that the sets have in common, both models take a step on each batch, and
    the proxies are weighted by numbers of images.

    Attributes:
        proxy: weights of the averaged proxy.
    """

    name: ClassVar = "fedtype"
    Settings: ClassVar = FedTypeSettings
    client: ClassVar = FedTypeClient
    crossing: ClassVar = CROSSING

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start with a proxy that nobody has trained."""
        super().__init__(config, clients)
        self.proxy = state_on_cpu(initial_proxy(config))

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` for a family that cannot be, or that has no such member for the proxy."""
        super().check(config)
        family = classifier_family_of(config, model_spec_of(config))
        proxy = config.settings(FedTypeSettings).proxy
        if proxy >= len(family.members):
            raise ValueError(
                f"fedtype.proxy: {proxy}, but classifier.family '{family.name}' has {len(family.members)} "
                "members, from 0: choose one of them, or another family"
            )

    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - as of now
        """Return the averaged proxy, for everybody."""
        return told_everybody(clients, {PROXY: self.proxy})

    def evaluation_orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return the proxy that the last round has led to."""
        return self.orders(number, clients)

    def form(self, client: int) -> Form:  # noqa: ARG002 - the same for all
        """Return types and shapes of the proxy's weights."""
        return form_of({PROXY: self.proxy})

    def close_round(self, number: int, collected: Collected) -> Outcome:  # noqa: ARG002 - rounds are alike
        """Average the proxies of the clients that took part, weighted by their sample counts."""
        samples = {client: self.clients[client].samples for client in sorted(collected.uploads)}
        proxies = {client: collected.uploads[client].tensors[PROXY] for client in samples}
        self.proxy = averaged_tensors(proxies, samples)
        weights = sample_weights(samples)
        return Outcome(clients={client: {"weight": weight} for client, weight in weights.items()})

    def state(self) -> State:
        """Return the averaged proxy."""
        return State({}, self.proxy)

    def load(self, state: State) -> None:
        """Go on from the averaged proxy of ``state``; raises ``ValueError`` if it is another network's."""
        check_kept("a proxy", state.tensors, headers_of(self.proxy))
        self.proxy = dict(state.tensors)
