"""A6 on a client of a run: shadow models are trained, and its images are told from others of its domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, Population, normalise, together
from huscf_flwr.data.progress import counted
from huscf_flwr.methods.generators import drawing_from, measured_generator
from huscf_flwr.methods.huscf.private_crossing import PrivateOrder
from huscf_flwr.models import BlockStates, Sampler, flatten_blocks, model_spec_of
from huscf_flwr.privacy.attacks.membership import (
    COMPARISONS,
    DRAWN_OF_LABEL,
    Compare,
    closeness,
    realness,
)
from huscf_flwr.privacy.evidence import Evidence, ModelOf
from huscf_flwr.privacy.finding import AUC, HOLDER_OF_GENERATOR, Finding
from huscf_flwr.privacy.holder_view import HolderView
from huscf_flwr.privacy.separation import separation
from huscf_flwr.privacy.shadow_mechanism import has_untrained_discriminator, known_noise
from huscf_flwr.privacy.shadows import halves, trained_shadow
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.seeding import torch_stream

_LEARNS = "which images a client trained on, from"
_MOST_OTHERS = 1000
_LEAST_FOR_CONTROLS = 4


@dataclass(frozen=True)
class Asked:
    """Images about which it is asked whether a client trained on them."""

    images: LabelledImages
    members: int
    """The first so many are the client's; the others are not."""

    @property
    def pixels(self) -> Tensor:
        """[N, C, H, W], from -1 to 1."""
        return normalise(self.images.images)


def asked_of(population: Population, client: int) -> Asked:
    """Return a client's training images, and images of its domain that nobody trained on, 1,000 at most.

    The latter have labels that the client has, since the others are told apart by that alone, and none is
    the same to the pixel as an image to train on.
    """
    members, data = population.images_of(client), population.data_of(client)
    trained = {
        image.numpy().tobytes() for image in population.domains[_domain(population, client)].train.images
    }
    has = set(members.labels.tolist())
    kept = [
        place
        for place, (image, label) in enumerate(zip(data.test.images, data.test.labels.tolist(), strict=True))
        if label in has and image.numpy().tobytes() not in trained
    ]
    others = data.test.subset(torch.tensor(kept[:_MOST_OTHERS], dtype=torch.int64))
    return Asked(together([members, others]), len(members))


@dataclass(frozen=True)
class Scores:
    """How much each of [N] images seems to have been trained on, by three kinds of models."""

    target: Tensor
    """By the model that is asked."""
    seen: Tensor | None
    """By a shadow model that was trained on it, in the place of that model; None with two shadow models."""
    unseen: Tensor | None
    """By a shadow model that was not: whatever tells members from others here is not training."""

    def at(self, places: Tensor) -> Scores:
        """Return the scores of the images at ``places`` [N]."""
        each = (self.target, self.seen, self.unseen)
        target, seen, unseen = (None if scores is None else scores[places] for scores in each)
        assert target is not None
        return Scores(target, seen, unseen)


Claims = Mapping[str, Scores]
"""What each attack makes of the same images, by its name."""


@dataclass(frozen=True)
class Shadows:
    """Models that were trained on halves of what is asked about."""

    states: tuple[BlockStates, ...]
    inside: Tensor
    """[S, N], bool: which of them was trained on which image."""


def membership(
    evidence: Evidence, population: Population, shadows: int, *, discriminator: ModelOf, adversary: str
) -> list[Finding]:
    """Ask about the images of each client: by its discriminator, and by the generator it is given.

    The attack is given the images in an order that tells nothing; only the findings know who is who.
    """
    found = []
    for transcript in evidence.transcripts:
        found += _of_client(evidence, transcript, population, shadows, discriminator, adversary)
    return found


def _of_client(
    evidence: Evidence,
    transcript: Transcript,
    population: Population,
    shadows: int,
    discriminator: ModelOf,
    adversary: str,
) -> list[Finding]:
    client, privacy = transcript.client, evidence.config.privacy
    asked = asked_of(population, client)
    stream = torch_stream(evidence.config.seed, "who is asked about")
    order = torch.randperm(len(asked.images), generator=stream)
    claims = claims_on(evidence, transcript, asked.images.subset(order), shadows, discriminator)
    back = order.argsort()
    told = {"members": asked.members, "shadows": shadows, "under_epsilon": privacy.epsilon}
    by_discriminator, by_generator = (
        None
        if each is None
        else {**details_of({name: of.at(back) for name, of in each.items()}, asked.members), **told}
        for each in claims
    )
    nothing = AUC, "no discriminator of it crossed in this round"
    if has_untrained_discriminator(evidence.config):
        nothing = "", "privacy.critic is embedding: discriminators stay as they began"
    no_generator = AUC, "it has no generator after this round"
    return [
        _finding(by_discriminator, client, adversary, "its discriminator", nothing),
        _finding(by_generator, client, HOLDER_OF_GENERATOR, "the generator", no_generator),
    ]


def claims_on(
    evidence: Evidence,
    transcript: Transcript,
    images: LabelledImages,
    shadows: int,
    discriminator: ModelOf,
) -> tuple[Claims | None, Claims | None]:
    """Return how much each of ``images`` seems to have been trained on, by discriminator and generator.

    The first is None if the server knows no discriminator of the client that has learnt anything, the second
    if there is no generator for it.
    """
    trained = _trained(evidence, transcript, images, shadows)
    held = view_of_holder(evidence, transcript.client)
    generated = None if held is None else _by_generator(evidence.config, held, images, trained)
    found = None
    if not has_untrained_discriminator(evidence.config):
        found = discriminator(evidence, transcript)
    if found is None:
        return None, generated
    spec, pixels, labels = model_spec_of(evidence.config), normalise(images.images), images.labels
    target = realness(spec, found, pixels, labels)
    others = torch.stack([realness(spec, each, pixels, labels) for each in trained.states])
    return _claims(target, others, trained.inside), generated


def view_of_holder(evidence: Evidence, client: int) -> HolderView | None:
    """Return the generator of a client's cluster, or its own; None if it has none after the round."""
    method = evidence.method
    product = method.judged_for([client])
    if product is None:
        return None
    return HolderView(product.tensors, type(method).sampler(evidence.config, product.tensors))


def _by_generator(config: RunConfig, held: HolderView, images: LabelledImages, trained: Shadows) -> Claims:
    pixels = normalise(images.images)
    own = [drawing_from(config, flatten_blocks(measured_generator(config, each))) for each in trained.states]

    def near(sampler: Sampler) -> Tensor:
        return closeness(sampler, pixels, images.labels, config.seed, DRAWN_OF_LABEL)

    return _claims(near(held.sampler), torch.stack([near(each) for each in own]), trained.inside)


def _claims(target: Tensor, shadows: Tensor, inside: Tensor) -> Claims:
    return {name: scored(target, shadows, inside, compare) for name, compare in COMPARISONS.items()}


def _trained(evidence: Evidence, transcript: Transcript, images: LabelledImages, shadows: int) -> Shadows:
    """Train the shadow models, each for as many steps as the client has trained, and as it has."""
    client = transcript.client
    inside = halves(len(images), shadows, evidence.config.seed)
    steps, noise = evidence.steps_so_far(client), _noise(evidence, transcript)
    states = []
    for number, half in enumerate(inside, start=1):
        what = f"A6, client {client}: training shadow model {number} of {shadows} on {int(half.sum())} images"
        own = images.subset(half.nonzero().flatten())
        training = trained_shadow(evidence.config, own, steps, number, noise)
        *_, last = counted(training, steps, f"{what}, step")
        states.append(last)
    return Shadows(tuple(states), inside)


def _noise(evidence: Evidence, transcript: Transcript) -> float:
    """Return the client's noise multiplier, which follows from what server and client tell each other."""
    facts, client = transcript.order.facts, transcript.client
    if not isinstance(facts, PrivateOrder):
        return 0.0
    before = evidence.steps_so_far(client) - evidence.steps(client)
    return known_noise(evidence.config, evidence.method.clients[client].samples, before + facts.steps_left)


def scored(target: Tensor, shadows: Tensor, inside: Tensor, compare: Compare) -> Scores:
    """Return the scores of the ``target`` [N], and of shadow models [S, N] in its place.

    These are the first two, which share the images out, so that each image is scored once by the one that was
    trained on it and once by the other. Both are compared with the pairs that are left, of which each image
    is in as many as it is not: without four shadow models there are no controls.
    """
    scores = compare(target, shadows, inside)
    if len(shadows) < _LEAST_FOR_CONTROLS:
        return Scores(scores, None, None)
    seen, unseen = torch.empty_like(scores), torch.empty_like(scores)
    for place in (0, 1):
        of_shadow, saw = compare(shadows[place], shadows[2:], inside[2:]), inside[place]
        seen[saw], unseen[~saw] = of_shadow[saw], of_shadow[~saw]
    return Scores(scores, seen, unseen)


def details_of(claims: Claims, members: int) -> dict[str, Any]:
    """Return what is told beside the AUC: of the attack that has most, and under ``attacks`` of each.

    All intervals are as wide as it takes that the best one was chosen afterwards. Two controls:

    ``control``: the same members and others, by models that were trained on neither. It is off if 0.5 is not
    in its interval: then something else than training tells them apart, such as how they were chosen.
    ``able``: images by a model that was trained on them, and by one that was not. If 0.5 is in its interval
    the attack finds nothing where there is something to find.
    """
    each = {name: _details(scores, members, len(claims)) for name, scores in claims.items()}
    best = max(each, key=lambda name: (each[name]["auc"], each[name]["auc_interval"]))
    others = len(claims[best].target) - members
    return {**each[best], "attack": best, "attacks": each, "members": members, "others": others}


def _details(scores: Scores, members: int, tried: int) -> dict[str, Any]:
    told = asdict(separation(scores.target[:members], scores.target[members:], tried=tried))
    if scores.seen is None or scores.unseen is None:
        return {**told, "control": None, "control_off": None, "able": None}
    control = separation(scores.unseen[:members], scores.unseen[members:], tried=tried)
    able = separation(scores.seen, scores.unseen, tried=tried)
    low, high = control.auc_interval
    return {
        **told,
        "control": control.auc,
        "control_interval": control.auc_interval,
        "control_off": not low <= 0.5 <= high,
        "able": able.auc,
        "able_interval": able.auc_interval,
    }


def _finding(
    details: dict[str, Any] | None, client: int, adversary: str, source: str, nothing: tuple[str, str]
) -> Finding:
    """Return the finding; it has failed if none of the attacks finds known members.

    Without ``details`` it has what is measured, and why there is no number, of ``nothing``.
    """
    learns = f"{_LEARNS} {source}"
    if details is None:
        measure, reason = nothing
        return Finding("A6", adversary, learns, measure, clients=(client,), reason=reason)
    each = details["attacks"].values()
    failed = not any(of["able"] is not None and of["able_interval"][0] > 0.5 for of in each)
    found = ("A6", adversary, learns, AUC, details["auc"], 0.5, (client,), details)
    return Finding(*found, failed=failed)


def _domain(population: Population, client: int) -> str:
    return population.partitions[client].domain
