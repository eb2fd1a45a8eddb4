"""A5 on a client of HuSCF-GAN: batches of a round, without its discriminator's head's weights."""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor

from huscf_flwr.data import Population, normalise
from huscf_flwr.models import build_blocks, head_indices
from huscf_flwr.privacy.attacks.unseen_head import invert_unseen_head
from huscf_flwr.privacy.audit import server_view, true_batches
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import CURIOUS_SERVER, Finding
from huscf_flwr.privacy.scoring import nearness
from huscf_flwr.privacy.server import SeenStep
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.split import DISCRIMINATE

FIRST_STEPS = 16
"""Of a round, whose batches are attacked together: a distribution takes hundreds of outputs to know."""
_IMAGES = "images of batches, without the weights of the discriminator's head"
_MEASURE = "PSNR, dB, the median"
_SIMULATORS = 4
"""That begin with weights of their own: about half of them end far from what was seen."""


def by_simulator(evidence: Evidence, population: Population, shadows: int) -> list[Finding]:  # noqa: ARG001
    """Attack each client's first batches; test images of its domain are the public ones."""
    found, guessed, by_label, clients, reason = [], [], [], [], ""
    for transcript in evidence.transcripts:
        view = server_view(evidence.config, transcript)
        steps = [step for step in transcript.frames if step <= FIRST_STEPS]
        labels = [SeenStep(view, step).guessed_labels for step in steps]
        told = [each for each in labels if each is not None and view.fakes_have_real_labels]
        if not view.has_real_activations:
            reason = "no activation of a real image crosses"
        elif len(told) < len(steps):
            reason = "exchange 1 does not tell the labels of the batch, which the simulator needs"
        else:
            psnr, mean, label_mean = _attacked(evidence, population, transcript, steps, torch.cat(told))
            found.append(psnr)
            guessed.append(mean)
            by_label.append(label_mean)
            clients.append(transcript.client)
    if not found:
        return [Finding("A5", CURIOUS_SERVER, _IMAGES, _MEASURE, reason=reason)]
    details = {"label_means": fmean(by_label)}
    return [
        Finding(
            "A5", CURIOUS_SERVER, _IMAGES, _MEASURE, fmean(found), fmean(guessed), tuple(clients), details
        )
    ]


def _attacked(
    evidence: Evidence, population: Population, transcript: Transcript, steps: list[int], labels: Tensor
) -> tuple[float, float, float]:
    """Return decibel of the attack, of the mean of the client's images, and of public means by label."""
    view, client = server_view(evidence.config, transcript), transcript.client
    test = population.data_of(client).test
    public = normalise(test.images)
    indices = head_indices(view.cut, "discriminator")
    simulators = [
        build_blocks(
            view.spec, "discriminator", indices, seed=evidence.config.seed, owner=f"simulator-{each}"
        )
        for each in range(_SIMULATORS)
    ]
    outputs = torch.cat([view.saw(step, DISCRIMINATE, "up")[1].float() for step in steps])
    images = invert_unseen_head(simulators, outputs, labels, public, test.labels)
    own = population.images_of(client)
    batches = true_batches(evidence.config, transcript, own)
    truth = torch.cat([batches[step].images.float() for step in steps])
    mean = normalise(own.images).mean(0, keepdim=True).expand_as(truth)
    by_label = torch.stack([public[test.labels == label].mean(0) for label in labels])
    return tuple(nearness(each, truth).psnr for each in (images, mean, by_label))  # type: ignore[return-value]
