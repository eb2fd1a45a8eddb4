"""A5 on a client of HuSCF-GAN: batches of a round, without its discriminator's head's weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from huscf_flwr.data import LabelledImages, Population, normalise
from huscf_flwr.models import build_blocks, head_indices
from huscf_flwr.privacy.attacks.unseen_head import invert_unseen_head
from huscf_flwr.privacy.audit import server_view, true_batches
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import (
    CURIOUS_SERVER,
    NO_ACTIVATIONS,
    Finding,
    NothingHad,
    Reconstructed,
    finding_of_images,
)
from huscf_flwr.privacy.scoring import guessed_by_mean, nearness
from huscf_flwr.privacy.server import SeenStep
from huscf_flwr.privacy.view import ServerView
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.split import DISCRIMINATE

FIRST_STEPS = 16
"""Of a round, whose batches are attacked together: a distribution takes hundreds of outputs to know."""
_IMAGES = "images of batches, without the weights of the discriminator's head"
_SIMULATORS = 4
"""That begin with weights of their own: about half of them end far from what was seen."""


def by_simulator(evidence: Evidence, population: Population, shadows: int) -> list[Finding]:  # noqa: ARG001
    """Attack each client's first batches; test images of its domain are the public ones."""
    found = {each.client: _simulated(evidence, population, each) for each in evidence.transcripts}
    return [finding_of_images("A5", CURIOUS_SERVER, _IMAGES, found, "label_means")]


def _simulated(
    evidence: Evidence, population: Population, transcript: Transcript
) -> Reconstructed | NothingHad:
    view = server_view(evidence.config, transcript)
    if not view.has_real_activations:
        return NothingHad(NO_ACTIVATIONS)
    steps = [step for step in transcript.frames if step <= FIRST_STEPS]
    labels = [SeenStep(view, step).guessed_labels for step in steps]
    told = [each for each in labels if each is not None and view.fakes_have_real_labels]
    if len(told) < len(steps):
        why = "exchange 1 does not tell the labels of the batch, which the simulator needs"
        return NothingHad(why, untried=True)
    public = population.data_of(transcript.client).test
    made = drawn(view, evidence.config.seed, steps, torch.cat(told), public)
    return _scored(evidence, population, transcript, steps, made)


class Drawn(NamedTuple):
    """What the attack makes of the images of some batches, [N, C, H, W] each."""

    images: Tensor
    by_label: Tensor
    """The mean of public images of each one's label, for comparison."""


def drawn(view: ServerView, seed: int, steps: list[int], labels: Tensor, public: LabelledImages) -> Drawn:
    """Draw the images of batches whose ``labels`` [N] are known, by ``public`` images that are like them."""
    pixels, indices = normalise(public.images), head_indices(view.cut, "discriminator")
    simulators = [
        build_blocks(view.spec, "discriminator", indices, seed=seed, owner=f"simulator-{each}")
        for each in range(_SIMULATORS)
    ]
    outputs = torch.cat([view.saw(step, DISCRIMINATE, "up")[1].float() for step in steps])
    images = invert_unseen_head(simulators, outputs, labels, pixels, public.labels)
    return Drawn(images, torch.stack([pixels[public.labels == label].mean(0) for label in labels]))


def _scored(
    evidence: Evidence, population: Population, transcript: Transcript, steps: list[int], made: Drawn
) -> Reconstructed:
    """Compare with the truth; the detail is the decibel of public means by label."""
    own = population.images_of(transcript.client)
    batches = true_batches(evidence.config, transcript, own)
    truth = torch.cat([batches[step].images.float() for step in steps])
    return Reconstructed(
        nearness(made.images, truth), guessed_by_mean(own.images, truth), nearness(made.by_label, truth).psnr
    )
