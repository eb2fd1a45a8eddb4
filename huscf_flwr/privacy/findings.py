"""What an audit found of activations of real images, as rows of plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from torch import Tensor

from huscf_flwr.models import Cut
from huscf_flwr.privacy.audit import Attacked, ClientAudit
from huscf_flwr.privacy.finding import Most
from huscf_flwr.privacy.floors import KNOWN_LABELS, LITTLE_NOISE, floor_of_images, floor_of_labels
from huscf_flwr.privacy.scoring import nearness, peak_signal_to_noise
from huscf_flwr.privacy.view import cut_name


@dataclass(frozen=True)
class StepFindings:
    """What the client of a cut that gives most away gives away in one step: it is not made up for by others.

    Each number is the most that any attack has of any of the clients.
    """

    step: int
    attack: str
    """That comes nearest to the images."""
    psnr: float
    """Decibel, the median over a client's images."""
    psnr_worst_decile: float
    """Decibel that a tenth of a client's images exceeds."""
    ssim: float
    """The median over a client's images."""
    labels: float
    """Share of the labels that are right: of an attack on images, or read without any."""
    floor: float | None = None
    """Decibel that an attack that works has in this step, the least of any client; None if nobody knows."""
    failed_clients: tuple[int, ...] = ()
    """Those of which no attack has as much."""


IMAGES, BATCH_LABELS, LABEL_SET = "psnr", "labels", "label_set"
"""What may be had most of, by the name of its ceiling."""


@dataclass(frozen=True)
class CutFindings:
    """What a curious server gets of the clients with one cut."""

    cut: Cut
    clients: tuple[int, ...]
    steps: tuple[StepFindings, ...]
    """By step, from the first; none if no activation of a real image crosses, or none was attacked."""
    labels_known: float | None
    """Mean share of all classes of which it knows whether a client has any."""
    labels_present: float
    """Mean share of all classes of which a client has any: what it would give to guess that it has all."""
    mean_image: float
    """Decibel: what it would give to know the mean of a client's images, and no more."""
    majority: float
    """Share of labels that it would give to guess each client's most frequent one."""
    labels: float | None = None
    """Share of a batch's labels that are right, in the step that gives most away; None if none are read."""
    noise: float = 0.0
    """Of activations of real images, in their spreads: it may explain why no image is recognised."""
    control: float | None = None
    """Decibel of A1 in little noise, the least of any client; None without noise."""
    most: Mapping[str, Most] = field(default_factory=dict)
    """What was had of single clients, by the name of its ceiling; without what was not."""

    @property
    def sees_images(self) -> bool:
        """Whether images were attacked."""
        return bool(self.steps)

    @property
    def activations_cross(self) -> bool:
        """Whether activations of real images cross, so that there is something to attack."""
        return activations_cross(self.cut)

    @property
    def images_asked(self) -> bool:
        """Whether it is known what is had of images: they were attacked, or cannot be."""
        return self.sees_images or not self.activations_cross

    @property
    def failed_clients(self) -> tuple[int, ...]:
        """Those of which no attack has in the first step what one has that works."""
        return self.steps[0].failed_clients if self.steps else ()

    @property
    def name(self) -> str:
        """The cut, as in ``1-1-2-1``."""
        return cut_name(self.cut)

    @property
    def worst(self) -> StepFindings:
        """The step that gives most away."""
        return max(self.steps, key=lambda step: step.psnr)

    @property
    def failed(self) -> bool:
        """Whether the attacks have failed on all clients, which proves nothing."""
        return self.sees_images and set(self.failed_clients) == set(self.clients)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        derived = {
            "name": self.name,
            "failed": self.failed,
            "failed_clients": self.failed_clients,
            "sees_images": self.sees_images,
            "activations_cross": self.activations_cross,
        }
        return {**asdict(self), "cut": list(self.cut), **derived}


def activations_cross(cut: Cut) -> bool:
    """Return whether activations of real images cross.

    None do if the client keeps the whole discriminator, which then is all head and no tail.
    """
    return cut.discriminator_tail > 0


def findings_by_cut(audits: Sequence[ClientAudit]) -> list[CutFindings]:
    """Return what was found of all clients with the same cut together, by cut."""
    found = []
    for cut in sorted({audit.cut for audit in audits}):
        of_cut = [audit for audit in audits if audit.cut == cut]
        known = [audit.labels_known for audit in of_cut if audit.labels_known is not None]
        steps = tuple(_best_by_step(of_cut))
        found.append(
            CutFindings(
                cut=cut,
                clients=tuple(audit.client for audit in of_cut),
                steps=steps,
                labels_known=fmean(known) if known else None,
                labels_present=fmean([audit.labels_present for audit in of_cut]),
                mean_image=fmean([audit.mean_image for audit in of_cut]),
                majority=fmean([audit.majority for audit in of_cut]),
                noise=of_cut[0].noise,
                labels=max((step.labels for step in steps), default=_most_read(of_cut)),
                control=min((each.control for each in of_cut if each.control is not None), default=None),
                most=_most(of_cut),
            )
        )
    return found


def _has_failed(audit: ClientAudit, step: int) -> bool:
    """Return whether no attack on a client has in a step what one has that works.

    Noise excuses it only where it is wide enough, and the same attack works in little noise.
    """
    best = best_attack(audit, step)
    found = nearness(best.images, best.truth).psnr
    in_little = floor_of_images(audit.cut, LITTLE_NOISE, audit.mean_image)
    works = audit.control is None or audit.control >= in_little
    return not (works and found >= _floor(audit, step))


def _floor(audit: ClientAudit, step: int) -> float:
    first = min(each.step for each in audit.attacked)
    return floor_of_images(
        audit.cut, audit.noise, audit.mean_image, first=step == first, is_clipped=audit.is_clipped
    )


def best_attack(audit: ClientAudit, step: int) -> Attacked:
    """Return the attack on a client that came nearest in a step."""
    of_step = [each for each in audit.attacked if each.step == step]
    return max(of_step, key=lambda each: peak_signal_to_noise(each.images, each.truth).median().item())


def _most_read(audits: Sequence[ClientAudit]) -> float | None:
    """Return the share of labels that are right, read without any image, in a client's step that has most."""
    return max((_share(each.right) for audit in audits for each in audit.labels_read), default=None)


def _most(audits: Sequence[ClientAudit]) -> dict[str, Most]:
    """Return what was had of single clients, by name.

    Labels have a floor where activations of real images cross: else they are guessed.
    """
    seen = [each for each in audits if each.attacked]
    read = [each for each in audits if each.attacked or each.labels_read]
    known = [(each, each.labels_known) for each in audits if each.labels_known is not None]
    below = tuple(each.client for each, share in known if not share >= KNOWN_LABELS)
    found = {
        IMAGES: _most_of(
            [(each.client, _most_decibel(each), each.mean_image) for each in seen],
            tuple(each.client for each in seen if _has_failed(each, _steps(each)[0])),
        ),
        BATCH_LABELS: _most_of(
            [(each.client, max(_labels_by_step(each)), each.majority) for each in read],
            tuple(
                each.client
                for each in read
                if activations_cross(each.cut)
                and not min(_labels_by_step(each)) >= floor_of_labels(each.noise)
            ),
        ),
        LABEL_SET: _most_of([(each.client, share, each.labels_present) for each, share in known], below),
    }
    return {name: most for name, most in found.items() if most is not None}


def _most_of(of_clients: Sequence[tuple[int, float, float]], below: tuple[int, ...]) -> Most | None:
    """Return the client of which most is had, of those with as much the one of which it says most."""
    if not of_clients:
        return None
    return Most(*max(of_clients, key=lambda each: (each[1], -each[2])), below)


def _most_decibel(audit: ClientAudit) -> float:
    best = [best_attack(audit, step) for step in _steps(audit)]
    return max(nearness(each.images, each.truth).psnr for each in best)


def _labels_by_step(audit: ClientAudit) -> list[float]:
    """Return the share of labels that are right, by an attack on images or without, of each step."""
    right = [(each.step, _share(each.labels_right)) for each in audit.attacked]
    right += [(each.step, _share(each.right)) for each in audit.labels_read]
    return [max(share for at, share in right if at == step) for step in sorted({at for at, _ in right})]


def _steps(audit: ClientAudit) -> list[int]:
    """Return the steps in which images were attacked."""
    return sorted({each.step for each in audit.attacked})


def _best_by_step(audits: Sequence[ClientAudit]) -> list[StepFindings]:
    attacked = [each for audit in audits for each in audit.attacked]
    found = []
    for step in sorted({each.step for each in attacked}):
        of_step = [audit for audit in audits if step in _steps(audit)]
        scored = [_scored(each) for each in attacked if each.step == step]
        read = [_share(each.right) for audit in audits for each in audit.labels_read if each.step == step]
        best = max(scored, key=lambda each: each.psnr)
        floor = min(_floor(audit, step) for audit in of_step)
        found.append(
            replace(
                best,
                psnr_worst_decile=max(each.psnr_worst_decile for each in scored),
                ssim=max(each.ssim for each in scored),
                labels=max([each.labels for each in scored] + read),
                floor=floor if math.isfinite(floor) else None,
                failed_clients=tuple(each.client for each in of_step if _has_failed(each, step)),
            )
        )
    return found


def _scored(attacked: Attacked) -> StepFindings:
    near = nearness(attacked.images, attacked.truth)
    right = _share(attacked.labels_right)
    return StepFindings(attacked.step, attacked.attack, near.psnr, near.psnr_worst_decile, near.ssim, right)


def _share(right: Tensor) -> float:
    return right.float().mean().item()
