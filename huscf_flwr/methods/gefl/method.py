"""GeFL's server: it averages a generator, and then lends it to clients that train classifiers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.batches import largest_epoch
from huscf_flwr.methods.contract import (
    Collected,
    Description,
    Form,
    Order,
    Orders,
    Outcome,
    Product,
    State,
    Tensors,
    form_of,
)
from huscf_flwr.methods.crossing import check_kept, headers_of
from huscf_flwr.methods.first_rounds import check_first_rounds
from huscf_flwr.methods.gefl.autoencoder import autoencoder_spec
from huscf_flwr.methods.gefl.client import GeFLAutoencoderClient, GeFLClient
from huscf_flwr.methods.gefl.crossing import CROSSING, GENERATOR, GeFLOrder
from huscf_flwr.methods.gefl.settings import GeFLSettings, generator_rounds_of
from huscf_flwr.methods.generators import drawing_from, measured_generator
from huscf_flwr.methods.held_classes import HeldClasses, check_classes, described_by
from huscf_flwr.methods.own_classifiers import EVERYBODY, OwnClassifiers
from huscf_flwr.methods.sample_averages import averaged_by_samples, sample_weights
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import (
    BlockStates,
    ModelSpec,
    Sampler,
    flatten_blocks,
    initial_states,
    model_spec_of,
    unflatten_blocks,
)
from huscf_flwr.process import dtype_of

_LEARNT = "learnt"


class GeFL(OwnClassifiers):
    """Classifiers that differ, aided by a generator that is trained together (arXiv 2412.18460).

    In the first rounds clients train a conditional generator, which the server averages by numbers of images.
    In the others each client trains its own classifier, on images that the generator draws and on its own.
    This is GeFL as its public code has it, without GeFL-F, which shares features. Ours are: the networks,
    which are those of ``model.spec``; clients' classifiers are never averaged, where the public code averages
    those of the same architecture; a GAN rests once classifiers are trained, where it is trained on there;
    labels that no client had while the generator was trained are not drawn; and BatchNorm's running
    statistics are measured anew before the generator is lent or shown, since averaged ones do not fit
    averaged weights.

    This is the variant for a GAN.

    Attributes:
        networks: the averaged ones; the generator draws.
        learnt: bool [C]: classes of the clients that have trained it.
    """

    name: ClassVar = "gefl"
    Settings: ClassVar = GeFLSettings
    client: ClassVar[type[GeFLClient]] = GeFLClient
    crossing: ClassVar = CROSSING

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start with networks that nobody has trained.

        Raises ``ValueError`` if a client holds a class that the model lacks.
        """
        super().__init__(config, clients)
        self._described = described_by(self.clients, HeldClasses, method=self.name)
        check_classes(self._described, self.spec)
        self.generator_rounds = generator_rounds_of(config)
        spec = self.networks_of(self.spec)
        self.networks: BlockStates = initial_states(spec, seed=config.seed, dtype=dtype_of(config))
        self.learnt = torch.zeros(self.spec.classes, dtype=torch.bool)
        self._measured: BlockStates | None = None
        self._classifies = False

    @classmethod
    def variant(cls, config: RunConfig) -> type[GeFL]:
        """Return the class for the generator of the settings."""
        return cls if config.settings(GeFLSettings).generator == "dcgan" else GeFLAutoencoder

    @classmethod
    def learning_rates(cls, config: RunConfig) -> tuple[float, ...]:
        """Return that of the classifiers, and that of the generator."""
        return (*super().learning_rates(config), config.optimiser.learning_rate)

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` for a family or networks that cannot be, or too many generator rounds."""
        super().check(config)
        cls.networks_of(model_spec_of(config))
        rounds = generator_rounds_of(config)
        check_first_rounds(config, rounds, "gefl.generator_rounds", "classifiers are trained", least_left=1)

    @staticmethod
    def networks_of(spec: ModelSpec) -> ModelSpec:
        """Return the networks that are averaged: the generator, and what it is trained with."""
        return spec

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from the averaged generator."""
        return drawing_from(config, product)

    def steps(self, number: int, clients: Sequence[int]) -> int:
        """Return the batches of the largest client."""
        epochs, drawn = self.config.local_epochs, self.config.settings(GeFLSettings).drawn_epochs
        if number <= self.generator_rounds:
            return super().steps(number, clients)
        if self.config.settings(GeFLSettings).mixing == "before":
            return (epochs + drawn) * largest_epoch(self.clients, clients, self.config)
        largest = max(self.clients[client].samples for client in clients)
        return epochs * math.ceil((1 + drawn) * largest / self.config.batch_size)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return the averaged networks for everybody, or the generator alone once classifiers are trained."""
        self._classifies = number > self.generator_rounds
        told = GeFLOrder(classifies=self._classifies, classes=tuple(self.learnt.nonzero().flatten().tolist()))
        sent = (
            {GENERATOR: flatten_blocks(self._generator())}
            if self._classifies
            else {NETWORKS: flatten_blocks(self.networks)}
        )
        return Orders(
            clients={client: Order(facts=told, groups=(EVERYBODY,)) for client in clients},
            groups={EVERYBODY: sent},
        )

    def form(self, client: int) -> Form:  # noqa: ARG002 - the same for all
        """Return types and shapes of the networks; nothing once classifiers are trained."""
        if self._classifies:
            return {}
        return form_of({NETWORKS: flatten_blocks(self.networks)})

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Average the networks over the clients that took part, weighted by their sample counts."""
        if number > self.generator_rounds:
            return Outcome()
        samples = {client: self.clients[client].samples for client in sorted(collected.uploads)}
        blocks = {k: unflatten_blocks(upload.tensors[NETWORKS]) for k, upload in collected.uploads.items()}
        self.networks, self._measured = averaged_by_samples(blocks, samples), None
        held = [each for client in samples for each in self._described[client].classes]
        self.learnt = self.learnt.index_fill(0, torch.tensor(held), True)
        weights = sample_weights(samples)
        return Outcome(clients={client: {"weight": weight} for client, weight in weights.items()})

    def products(self) -> list[Product]:
        """Return the averaged generator, which is everybody's."""
        return [Product("global", tuple(self.clients), flatten_blocks(self._generator()))]

    def state(self) -> State:
        """Return the averaged networks, and the classes that they have learnt."""
        return State({}, {**flatten_blocks(self.networks, "networks/"), _LEARNT: self.learnt})

    def load(self, state: State) -> None:
        """Go on from the averaged networks of ``state``; raises ``ValueError`` if they are of other forms."""
        check_kept("networks", state.tensors, headers_of(self.state().tensors))
        self.networks, self._measured = unflatten_blocks(state.tensors, "networks/"), None
        self.learnt = state.tensors[_LEARNT]

    def _generator(self) -> BlockStates:
        if self._measured is None:
            self._measured = measured_generator(self.config, self.networks)
        return self._measured


class GeFLAutoencoder(GeFL):
    """The variant for a conditional variational autoencoder."""

    client: ClassVar[type[GeFLClient]] = GeFLAutoencoderClient

    @staticmethod
    def networks_of(spec: ModelSpec) -> ModelSpec:
        """Return decoder and encoder; raises ``ValueError`` if the model has no blocks for an encoder."""
        return autoencoder_spec(spec)
