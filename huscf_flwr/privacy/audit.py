"""An audit: a run trains under a recorder, what crossed is attacked, and the truth is compared.

The attacks are given what a server sees, and nothing else; the true batches are drawn again beside them, from
the same streams, and only the scores know them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, Population, normalise
from huscf_flwr.methods.huscf.client import round_batches
from huscf_flwr.models import Cut
from huscf_flwr.privacy.attacks.closed_form import Reconstruction
from huscf_flwr.privacy.scoring import nearness
from huscf_flwr.privacy.server import ATTACKS, label_set
from huscf_flwr.privacy.view import ServerView
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.split import Batch


@dataclass(frozen=True)
class Attacked:
    """One attack on one batch of a client."""

    attack: str
    step: int
    images: Tensor
    """[B, C, H, W], what the attack made of it."""
    truth: Tensor
    """[B, C, H, W]."""
    labels_right: Tensor
    """[B], bool."""


@dataclass(frozen=True)
class ClientAudit:
    """What a curious server gets of one client."""

    client: int
    cut: Cut
    attacked: tuple[Attacked, ...]
    labels_known: float | None
    """Share of all classes of which it knows whether the client has any; None if nothing says so."""
    mean_image: float
    """Decibel of the mean of the client's images: what it would give to know no more."""
    majority: float
    """Share of the client's most frequent label: what it would give to guess it."""


def recorded_steps(steps: int) -> tuple[int, ...]:
    """Return the steps of a round to look at: the first, when all weights are known, and a middle one."""
    return tuple(dict.fromkeys((1, steps // 2 + 1)))


def audit_client(
    config: RunConfig, transcript: Transcript, population: Population, attacks: Collection[str]
) -> ClientAudit:
    """Attack what crossed of one client of HuSCF-GAN, and compare with the truth."""
    view = ServerView(config, transcript)
    images = population.images_of(transcript.client)
    batches = true_batches(config, transcript, images)
    attacked = tuple(
        _compared(name, step, ATTACKS[name](view, step), batches[step])
        for step in transcript.frames
        for name in attacks
    )
    counts = torch.bincount(images.labels, minlength=view.spec.classes)
    truth = torch.cat([batch.images for batch in batches.values()]).float()
    guess = normalise(images.images, torch.float32).mean(0, keepdim=True).expand_as(truth)
    return ClientAudit(
        client=transcript.client,
        cut=view.cut,
        attacked=attacked,
        labels_known=_share_known(label_set(view), counts > 0),
        mean_image=nearness(guess, truth).psnr,
        majority=(counts.max() / counts.sum()).item(),
    )


def true_batches(config: RunConfig, transcript: Transcript, images: LabelledImages) -> dict[int, Batch]:
    """Return the client's batches of the steps that were kept, by step: drawn as the client drew them."""
    drawn = round_batches(transcript.client, images, config, transcript.round)
    every = {step: drawn.next() for step in range(1, max(transcript.frames, default=0) + 1)}
    return {step: every[step] for step in transcript.frames}


def _compared(attack: str, step: int, found: Reconstruction, truth: Batch) -> Attacked:
    return Attacked(attack, step, found.images, truth.images.float(), found.labels == truth.labels)


def _share_known(found: set[int] | None, present: Tensor) -> float | None:
    if found is None:
        return None
    right = sum((label in found) == bool(there) for label, there in enumerate(present))
    return right / len(present)
