"""A6 on a client of a run: shadow models are trained, and its images are told from others of its domain."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from huscf_flwr.data import LabelledImages, Population, normalise, together
from huscf_flwr.data.progress import counted
from huscf_flwr.methods.generators import drawing_from, measured_generator
from huscf_flwr.models import BlockStates, Sampler, flatten_blocks, model_spec_of
from huscf_flwr.privacy.attacks.membership import (
    DRAWN_OF_LABEL,
    calibrated,
    closeness,
    likelihood_ratio,
    realness,
)
from huscf_flwr.privacy.evidence import Evidence, ModelOf
from huscf_flwr.privacy.finding import HOLDER_OF_GENERATOR, Finding
from huscf_flwr.privacy.separation import separation
from huscf_flwr.privacy.shadows import halves, trained_shadow
from huscf_flwr.seeding import torch_stream

_LEARNS = "which images a client trained on, from"
_MOST_OTHERS = 1000


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
class Shadows:
    """Models that were trained on halves of what is asked about."""

    states: tuple[BlockStates, ...]
    inside: Tensor
    """[S, N], bool: which of them was trained on which image."""


def membership(
    evidence: Evidence, population: Population, shadows: int, *, discriminator: ModelOf, adversary: str
) -> list[Finding]:
    """Ask about the images of the first client: by its discriminator, and by the generator it is given."""
    transcript = evidence.transcripts[0]
    client = transcript.client
    asked = asked_of(population, client)
    trained = _trained(evidence, asked, shadows, client)
    spec, pixels, labels = model_spec_of(evidence.config), asked.pixels, asked.images.labels
    found = discriminator(evidence, transcript)
    by_discriminator = Finding(
        "A6",
        adversary,
        f"{_LEARNS} its discriminator",
        "AUC",
        reason="no discriminator of it crossed in this round",
    )
    if found is not None:
        target = realness(spec, found, pixels, labels)
        others = torch.stack([realness(spec, each, pixels, labels) for each in trained.states])
        scores = likelihood_ratio(target, others, trained.inside)
        by_discriminator = _finding(scores, asked, trained, client, adversary, "its discriminator")
    return [by_discriminator, _by_generator(evidence, asked, trained, client)]


def _by_generator(evidence: Evidence, asked: Asked, trained: Shadows, client: int) -> Finding:
    config, method = evidence.config, evidence.method
    product = method.judged_for([client])
    assert product is not None
    own = [drawing_from(config, flatten_blocks(measured_generator(config, each))) for each in trained.states]

    def near(sampler: Sampler) -> Tensor:
        return closeness(sampler, asked.pixels, asked.images.labels, config.seed, DRAWN_OF_LABEL)

    target = near(type(method).sampler(config, product.tensors))
    scores = calibrated(target, torch.stack([near(each) for each in own]), trained.inside)
    return _finding(scores, asked, trained, client, HOLDER_OF_GENERATOR, "the generator")


def _trained(evidence: Evidence, asked: Asked, shadows: int, client: int) -> Shadows:
    """Train the shadow models, each for as many steps as the client has trained."""
    inside = halves(len(asked.images), shadows, evidence.config.seed)
    steps = evidence.steps_so_far(client)
    states = []
    for number, half in enumerate(inside, start=1):
        what = f"A6: training shadow model {number} of {shadows} on {int(half.sum())} images, step"
        own = asked.images.subset(half.nonzero().flatten())
        *_, last = counted(trained_shadow(evidence.config, own, steps, number), steps, what)
        states.append(last)
    return Shadows(tuple(states), inside)


def _finding(
    scores: Tensor, asked: Asked, trained: Shadows, client: int, adversary: str, source: str
) -> Finding:
    members, others = scores[: asked.members], scores[asked.members :]
    told = separation(members, others)
    one, other = others[torch.randperm(len(others), generator=torch_stream(0, "control"))].tensor_split(2)
    control = separation(one, other)
    details = {
        **asdict(told),
        "members": len(members),
        "others": len(others),
        "control": control.auc,
        "control_interval": control.auc_interval,
        "shadows": len(trained.states),
    }
    return Finding("A6", adversary, f"{_LEARNS} {source}", "AUC", told.auc, 0.5, (client,), details)


def _domain(population: Population, client: int) -> str:
    return population.partitions[client].domain
