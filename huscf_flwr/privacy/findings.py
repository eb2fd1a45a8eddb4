"""What an audit found, as rows of plain values, and as a verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from torch import Tensor

from huscf_flwr.models import Cut
from huscf_flwr.privacy.audit import Attacked, ClientAudit
from huscf_flwr.privacy.floors import RECOGNISABLE, floor_of_images
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


@dataclass(frozen=True)
class CutFindings:
    """What a curious server gets of the clients with one cut."""

    cut: Cut
    clients: tuple[int, ...]
    steps: tuple[StepFindings, ...]
    """By step, from the first; none if no activation of a real image crosses."""
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
    """Decibel of A1 without that noise, the least of any client; None without noise."""
    failed_clients: tuple[int, ...] = ()
    """Those of which no attack has in the first step what one has that works."""

    @property
    def sees_images(self) -> bool:
        """Whether activations of real images cross, so that there is something to attack."""
        return bool(self.steps)

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
        derived = {"name": self.name, "failed": self.failed, "sees_images": self.sees_images}
        return {**asdict(self), "cut": list(self.cut), **derived}


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
                failed_clients=tuple(each.client for each in of_cut if _has_failed(each)),
            )
        )
    return found


def _has_failed(audit: ClientAudit) -> bool:
    """Return whether no attack on a client has in the first step what one has that works.

    Noise excuses it only where it is wide enough, and the same attack works without it.
    """
    if not audit.attacked:
        return False
    first = best_attack(audit, min(each.step for each in audit.attacked))
    found = nearness(first.images, first.truth).psnr
    works = audit.control is None or audit.control >= floor_of_images(audit.cut, 0.0)
    return not works or found < floor_of_images(audit.cut, audit.noise)


def best_attack(audit: ClientAudit, step: int) -> Attacked:
    """Return the attack on a client that came nearest in a step."""
    of_step = [each for each in audit.attacked if each.step == step]
    return max(of_step, key=lambda each: peak_signal_to_noise(each.images, each.truth).median().item())


def verdict(found: Sequence[CutFindings]) -> list[str]:
    """Return in plain words what the server gets."""
    return [_sentence(each) for each in found]


def _sentence(found: CutFindings) -> str:
    if not found.sees_images:
        read = f"{found.labels:.0%} of the labels of a batch" if found.labels is not None else "no labels"
        chance = f"where the most frequent label is that of {found.majority:.0%}"
        return (
            f"no activation of a real image crosses from clients with cut {found.name}; by the labels of "
            f"fakes the server gets {read}, {chance}"
        )
    worst, who = found.worst, f"clients with cut {found.name}"
    beside = f"{worst.psnr:.0f} dB, where their mean image has {found.mean_image:.0f} dB"
    labels = f"{found.labels:.0%} of the labels of a batch"
    if found.failed and worst.psnr < RECOGNISABLE:
        return f"the attacks on images of {who} failed ({beside}), which proves nothing; it gets {labels}"
    if found.failed:
        return (
            f"the server sees the images of {who}: {beside}; and {labels}; an attack that works has more in "
            "the first step, so this is not all that can be had"
        )
    if found.noise and worst.psnr < RECOGNISABLE:
        return (
            f"noise of {found.noise:g} spreads blurs the images of {who}: {beside}; it guarantees "
            f"nothing, and the server gets {labels}"
        )
    return f"the server sees the images of {who}: {beside}; and {labels}"


def _most_read(audits: Sequence[ClientAudit]) -> float | None:
    """Return the share of labels that are right, read without any image, in a client's step that has most."""
    return max((_share(each.right) for audit in audits for each in audit.labels_read), default=None)


def _best_by_step(audits: Sequence[ClientAudit]) -> list[StepFindings]:
    attacked = [each for audit in audits for each in audit.attacked]
    found = []
    for step in sorted({each.step for each in attacked}):
        scored = [_scored(each) for each in attacked if each.step == step]
        read = [_share(each.right) for audit in audits for each in audit.labels_read if each.step == step]
        best = max(scored, key=lambda each: each.psnr)
        found.append(
            replace(
                best,
                psnr_worst_decile=max(each.psnr_worst_decile for each in scored),
                ssim=max(each.ssim for each in scored),
                labels=max([each.labels for each in scored] + read),
            )
        )
    return found


def _scored(attacked: Attacked) -> StepFindings:
    near = nearness(attacked.images, attacked.truth)
    right = _share(attacked.labels_right)
    return StepFindings(attacked.step, attacked.attack, near.psnr, near.psnr_worst_decile, near.ssim, right)


def _share(right: Tensor) -> float:
    return right.float().mean().item()
