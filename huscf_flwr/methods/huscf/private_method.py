"""HuSCF-GAN's server where all that it gets of a client's images was noised by the client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from huscf_flwr.accounting import check_accounting
from huscf_flwr.config import PrivacySection, RunConfig
from huscf_flwr.methods.contract import Collected, Orders, Outcome
from huscf_flwr.methods.huscf.client import HuSCFClient
from huscf_flwr.methods.huscf.embedding_client import HuSCFEmbeddingClient
from huscf_flwr.methods.huscf.local_client import check_mix_stays
from huscf_flwr.methods.huscf.method import HuSCF
from huscf_flwr.methods.huscf.observation import Observation, Seen
from huscf_flwr.methods.huscf.private_client import HuSCFPrivateClient
from huscf_flwr.methods.huscf.private_crossing import CROSSING_PRIVATE, PrivateOrder, SpentPrivacy
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.split.embedding import RandomFeatures


class NoObservation(Observation):
    """Sees nothing: activations have no noise."""

    def observer(self, step: int) -> None:
        """Let nobody look."""

    def statistics(self, collected: Collected) -> Seen:  # noqa: ARG002 - whatever came
        """Return None: nothing is known."""
        return None


class HuSCFPrivate(HuSCF):
    """The variant whose clients have whole discriminators, which learn with differential privacy.

    Without statistics of activations there are neither clusters nor weights by divergence: all clients are
    one cluster, weighted by their sample counts, which are public.
    """

    client: ClassVar[type[HuSCFClient]] = HuSCFPrivateClient
    crossing: ClassVar = CROSSING_PRIVATE
    privacy: ClassVar = frozenset(PrivacySection.model_fields) - {
        "activation_clip",
        "activation_noise",
        "count_step",
        "features",
        "min_observed",
    }
    sees: ClassVar[type[Observation]] = NoObservation

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` also if anything would cross, or be weighed, that has no noise."""
        _check_settings(config)
        check_mix_stays(config)
        check_accounting()
        super().check(config)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return what ``HuSCF`` tells, and for how many steps the noise must last."""
        told = super().orders(number, clients)
        rounds_left = self.rounds(self.config) - number + 1
        steps_left = self.steps(number, list(self.clients)) * rounds_left
        return replace(
            told,
            clients={
                client: replace(order, facts=PrivateOrder(cut=self.cuts.now[client], steps_left=steps_left))
                for client, order in told.clients.items()
            },
        )

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Average what the clients trained, and tell what each has spent."""
        outcome = super().close_round(number, collected)
        spent = {
            client: {"epsilon": upload.facts.epsilon}
            for client, upload in collected.uploads.items()
            if isinstance(upload.facts, SpentPrivacy)
        }
        clients = {client: {**facts, **spent.get(client, {})} for client, facts in outcome.clients.items()}
        return replace(outcome, clients=clients)

    def _may_part(self, number: int) -> bool:  # noqa: ARG002 - in no round
        """Return False: one cluster has no other to part from."""
        return False


class HuSCFEmbedding(HuSCFPrivate):
    """The variant whose clients release a noised embedding of their images, once, and train against that."""

    client: ClassVar[type[HuSCFClient]] = HuSCFEmbeddingClient
    privacy: ClassVar = HuSCFPrivate.privacy - {"clip", "discriminator_steps", "sample"} | {"features"}

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` also if ``privacy.features`` cannot be had."""
        RandomFeatures((1,), config.privacy.features, config.seed)
        super().check(config)


def private_variant(config: RunConfig) -> type[HuSCFPrivate]:
    """Return the class whose clients have the critic that ``config`` asks for."""
    return HuSCFEmbedding if config.privacy.critic == "embedding" else HuSCFPrivate


def _check_settings(config: RunConfig) -> None:
    settings, privacy = config.settings(HuSCFSettings), config.privacy
    asked = f"privacy.epsilon is {privacy.epsilon:g}"
    if not privacy.local_discriminator:
        raise ValueError(
            f"{asked}, but privacy.local_discriminator is false, and activations of images would cross "
            "without noise; set it to true"
        )
    if settings.clusters != 1:
        raise ValueError(
            f"{asked}, but huscf.clusters is {settings.clusters}: clusters are found by activations of "
            "images, which have no noise; set it to 1"
        )
    if settings.weighting != "samples":
        raise ValueError(
            f"{asked}, but huscf.weighting is {settings.weighting}: divergences come from activations of "
            "images, which have no noise; set it to samples"
        )
    if settings.batches != "passes":
        raise ValueError(
            f"{asked}, but huscf.batches is {settings.batches}: every step has a sample of its own of the "
            "images, and would not honour it; set it to passes"
        )
    if config.compute.precision == "bfloat16":
        raise ValueError(
            f"{asked}, but compute.precision is bfloat16, in which neither gradients of single images nor "
            "features of an embedding are computed; take float32 or float64"
        )
