"""Which attacks there are, and which of them can be tried on which method: the one place that says so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population
from huscf_flwr.methods.contract import Method
from huscf_flwr.methods.fedgan import FedGAN
from huscf_flwr.methods.fedvtc.method import FedVTC
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.methods.huscf.crossing import SEGMENTS
from huscf_flwr.methods.huscf.private_method import HuSCFEmbedding, HuSCFPrivate
from huscf_flwr.methods.mdgan import MDGAN
from huscf_flwr.methods.mdgan.crossing import DISCRIMINATOR
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import BlockStates, unflatten_blocks
from huscf_flwr.privacy.active_server import trapped
from huscf_flwr.privacy.black_box import by_simulator
from huscf_flwr.privacy.decoders import means_and_decoders
from huscf_flwr.privacy.embedding_mix import mix_of_embeddings
from huscf_flwr.privacy.evidence import Attack, Evidence
from huscf_flwr.privacy.finding import CURIOUS_SERVER, NEXT_CLIENT, NO_ACTIVATIONS, Finding
from huscf_flwr.privacy.label_findings import labels_of_networks, labels_that_are_told
from huscf_flwr.privacy.membership import membership
from huscf_flwr.privacy.middle_means import mix_of_labels
from huscf_flwr.privacy.peers import others_blocks
from huscf_flwr.privacy.steering_server import steered
from huscf_flwr.run.transcript import Transcript

ON_IMAGES = ("A1", "A2")
"""Attacks on activations of real images, which are told by cut."""
ON_LABELS = "A3"
"""That reads labels; where there are cuts, those of a batch and their set are told by cut."""
MEMBERSHIP = "A6"
"""That asks who was trained on, which is what differential privacy bounds."""
OF_OTHERS = "A8"
"""That a client makes and no server, and of which the truth is what other clients sent."""
ON_REQUEST = ("A4-gradients", "A5", MEMBERSHIP)
"""Attacks that train models of their own, and so are tried only where somebody asks for them."""
ATTACKS: Mapping[str, str] = {
    "A1": "images of a batch, by the weights that the round began with",
    "A2": "images of a batch, by what became of known fakes",
    "A3": "labels, and how often a client has each",
    "A4": "images of a batch, by a head that the server has made to copy them",
    "A4-gradients": "images of batches, once gradients have steered the discriminator's head",
    "A5": "images of batches, without the weights of the discriminator's head",
    "A6": "which images a client trained on",
    "A7": "images, from class means and decoders",
    "A8": "another client's blocks, from the average of a cluster",
}
"""What is attacked, by name."""
DEFAULT_ATTACKS = tuple(name for name in ATTACKS if name not in ON_REQUEST)

_ON_ACTIVATIONS = dict.fromkeys(("A1", "A2", "A4", "A4-gradients", "A5"), NO_ACTIVATIONS)
"""Why none of these can be tried where there are none."""
_ONE_IMAGE = (
    "nobody has written it for a discriminator that learns with noise; privacy.epsilon is of one image, and "
    "bounds neither which labels a client has nor how often"
)
_NO_MEANS = "no class mean and no decoder crosses"
_NOISED_BLOCKS = "whatever another client's blocks have learnt has the noise of privacy.epsilon"


@dataclass(frozen=True)
class Attackable:
    """What can be tried on a method."""

    attacks: Mapping[str, Attack]
    """By name."""
    reasons: Mapping[str, str]
    """Why others do not apply, by name."""
    by_cut: Collection[str] = ()
    """Attacks on batches, which are told by cut and not as findings, or as findings too."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of a training that is only there to be attacked, by dotted name."""
    unattacked: Callable[[RunConfig], str] = lambda config: ""  # noqa: ARG005
    """Returns what crosses that images went into, and that no attack here makes images of; or nothing."""

    @property
    def of_batches(self) -> Collection[str]:
        """The attacks that say something of a batch: that it is seen, or that none crosses."""
        return [*self.by_cut, *(name for name, why in self.reasons.items() if why == NO_ACTIVATIONS)]

    def tried(
        self, names: Collection[str], evidence: Evidence, population: Population, shadows: int
    ) -> list[Finding]:
        """Return what attacks of these ``names`` have found, with a reason for each that does not apply."""
        found: list[Finding] = []
        for name in names:
            if name in self.attacks:
                found += self.attacks[name](evidence, population, shadows)
            elif name in self.reasons:
                found.append(self._untried(name, self.reasons[name]))
        return found

    def untried(self, names: Collection[str], why: str) -> list[Finding]:
        """Return a reason for each of these ``names``: its own, or ``why`` it is not tried this time."""
        return [self._untried(name, self.reasons.get(name, why)) for name in names]

    def _untried(self, name: str, why: str) -> Finding:
        return Finding(name, CURIOUS_SERVER, ATTACKS[name], "", reason=why)


def _split_discriminator(evidence: Evidence, transcript: Transcript) -> BlockStates | None:
    """Return what a client of HuSCF-GAN sent, and the server's bodies as they are after the round."""
    assert isinstance(evidence.method, HuSCF)
    assert transcript.upload is not None
    body = evidence.method.bodies.body_of(transcript.client).states()
    return {**body, **unflatten_blocks(transcript.upload.tensors[SEGMENTS])}


def _sent_discriminator(evidence: Evidence, transcript: Transcript) -> BlockStates | None:  # noqa: ARG001
    """Return the discriminator among the networks that a client sent."""
    assert transcript.upload is not None
    return unflatten_blocks(transcript.upload.tensors[NETWORKS])


def _swapped_discriminator(evidence: Evidence, transcript: Transcript) -> BlockStates | None:  # noqa: ARG001
    """Return the discriminator that a client sent to be swapped, if it did so in this round."""
    assert transcript.upload is not None
    sent = transcript.upload.tensors
    return unflatten_blocks(sent[DISCRIMINATOR]) if DISCRIMINATOR in sent else None


def _sent_of_discriminators(config: RunConfig) -> str:
    """Return what a client of HuSCF-GAN sends of its discriminator, beside or in the place of activations."""
    if config.privacy.local_discriminator:
        return "discriminators that clients send, and statistics of their activations"
    return "what heads of discriminators that clients send have learnt"


_ON_SPLIT = partial(membership, discriminator=_split_discriminator, adversary=CURIOUS_SERVER)

_PRIVATE = {**_ON_ACTIVATIONS, "A7": _NO_MEANS, "A8": _NOISED_BLOCKS}

ON: Mapping[type[Method], Attackable] = {
    HuSCFEmbedding: Attackable({"A3": mix_of_embeddings, "A6": _ON_SPLIT}, _PRIVATE),
    HuSCFPrivate: Attackable({"A6": _ON_SPLIT}, {**_PRIVATE, "A3": _ONE_IMAGE}),
    HuSCF: Attackable(
        {
            "A3": mix_of_labels,
            "A4": trapped,
            "A4-gradients": steered,
            "A5": by_simulator,
            "A6": _ON_SPLIT,
            "A8": partial(others_blocks, kind=SEGMENTS),
        },
        {"A7": _NO_MEANS},
        (*ON_IMAGES, ON_LABELS),
        unattacked=_sent_of_discriminators,
    ),
    FedGAN: Attackable(
        {
            "A3": labels_of_networks,
            "A6": partial(membership, discriminator=_sent_discriminator, adversary=CURIOUS_SERVER),
            "A8": partial(others_blocks, kind=NETWORKS),
        },
        {**_ON_ACTIVATIONS, "A7": _NO_MEANS},
        unattacked=lambda _: "the networks that clients send",
    ),
    MDGAN: Attackable(
        {"A6": partial(membership, discriminator=_swapped_discriminator, adversary=NEXT_CLIENT)},
        {
            **_ON_ACTIVATIONS,
            "A3": "fakes have all labels, so that all rows of a discriminator's embedding move",
            "A7": _NO_MEANS,
            "A8": "no average crosses, and discriminators are handed on whole, which A6 asks",
        },
        unattacked=lambda _: "gradients of fakes, and discriminators that are swapped",
    ),
    FedVTC: Attackable(
        {"A3": labels_that_are_told, "A7": means_and_decoders},
        {
            **_ON_ACTIVATIONS,
            "A6": "classifiers stay on their clients, and nobody has written shadow models of a decoder",
            "A8": "nobody has written it for averages of decoders and class means",
        },
        # In the last round, everybody tunes and nothing is sent.
        settings={"fedvtc.tuning": "never"},
        unattacked=lambda _: "what decoders have learnt in a round, and spreads of features",
    ),
}
"""By method; one that is derived from some of these is attacked as the first of them is."""


def attackable(method: type[Method]) -> Attackable:
    """Return what can be tried on ``method``; raises ``ValueError`` if nobody has written an attack on it."""
    for known, attacked in ON.items():
        if issubclass(method, known):
            return attacked
    names = ", ".join(dict.fromkeys(known.name for known in ON))
    raise ValueError(
        f"method: {method.name}; there are attacks on {names}. What other methods reveal is declared, and "
        "shown by huscf compare"
    )
