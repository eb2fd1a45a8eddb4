"""An audit: a run trains under a recorder, what crossed is attacked, and the truth is compared.

The attacks are given what a server sees, and nothing else; the true batches are drawn again beside them, from
the same streams, and only the scores know them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, Population, normalise
from huscf_flwr.methods.huscf.client import round_batches
from huscf_flwr.models import Cut, initial_states, model_spec_of
from huscf_flwr.privacy.attacks.closed_form import Reconstruction
from huscf_flwr.privacy.attacks.prior import GaussianPrior, Obscured
from huscf_flwr.privacy.floors import LITTLE_NOISE
from huscf_flwr.privacy.scoring import guessed_by_mean, nearness
from huscf_flwr.privacy.server import ATTACKS, SeenStep, label_set
from huscf_flwr.privacy.view import ServerView
from huscf_flwr.process import dtype_of
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.split import DISCRIMINATE, Batch, Obfuscation

_LARGEST_DEVIATION = 0.1
"""Of what crossed, relative: a narrow type, on the wire or of the computation, takes less, and so does noise
along what was expected, since there are thousands of numbers."""


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
class LabelsRead:
    """The labels of a real batch, read without its images."""

    step: int
    right: Tensor
    """[B], bool."""


@dataclass(frozen=True)
class ClientAudit:
    """What a curious server gets of one client."""

    client: int
    cut: Cut
    attacked: tuple[Attacked, ...]
    labels_read: tuple[LabelsRead, ...]
    """Of each step, where fakes have the labels of the real batch, or there is nothing else to guess by."""
    labels_known: float | None
    """Share of all classes of which it knows whether the client has any; None if nothing says so."""
    labels_present: float
    """Share of all classes of which the client has any: what it would give to guess that it has all."""
    mean_image: float
    """Decibel of the mean of the client's images: what it would give to know no more."""
    majority: float
    """Share of the client's most frequent label: what it would give to guess it."""
    noise: float = 0.0
    """Of activations of real images, in their spreads."""
    is_clipped: bool = False
    """Whether they were clipped before."""
    control: float | None = None
    """Decibel of A1 in the first step on what the client would have sent in little noise; None without."""


class OtherBatchesError(ValueError):
    """A client has not trained on the batches that are drawn again, so nothing can be compared."""


def recorded_steps(steps: int) -> tuple[int, ...]:
    """Return the steps of a round to look at: the first, when all weights are known, and a middle one."""
    return tuple(dict.fromkeys((1, steps // 2 + 1)))


def server_view(
    config: RunConfig, transcript: Transcript, public: LabelledImages | None = None
) -> ServerView:
    """Return what a server knows and saw of a client; ``public`` images are like the client's."""
    spec, privacy = model_spec_of(config), config.privacy
    spreads, clip = privacy.activation_noise, privacy.activation_clip
    obscured = None
    if (spreads or clip is not None) and public is not None:
        obscured = Obscured(spreads, GaussianPrior.of(normalise(public.images)), clip)
    return ServerView(
        spec=spec,
        fake_labels=config.fake_labels,
        initial=partial(initial_states, spec, seed=config.seed, dtype=dtype_of(config)),
        transcript=transcript,
        obscured=obscured,
    )


def audit_client(
    config: RunConfig, transcript: Transcript, population: Population, attacks: Collection[str]
) -> ClientAudit:
    """Attack what crossed of one client of HuSCF-GAN, and compare with the truth.

    Where no activation of a real image crosses, there is no image to attack; without ``attacks`` none is
    attacked, and labels are read all the same. Raises ``OtherBatchesError`` if
    the truth is not known after all.
    """
    view = server_view(config, transcript, population.data_of(transcript.client).test)
    images = population.images_of(transcript.client)
    batches = true_batches(config, transcript, images)
    control = None
    if view.has_real_activations:
        expected = _check_truth(view, batches)
        if attacks and view.obscured is not None and view.obscured.spreads:
            control = _in_little_noise(view, view.obscured, batches, expected)
    steps = [SeenStep(view, step) for step in transcript.frames]
    attacked = tuple(
        _compared(name, seen.step, ATTACKS[name](seen), batches[seen.step])
        for seen in steps
        for name in attacks
        if view.has_real_activations
    )
    counts = torch.bincount(images.labels, minlength=view.spec.classes)
    truth = torch.cat([batch.images for batch in batches.values()]).float()
    return ClientAudit(
        client=transcript.client,
        cut=view.cut,
        attacked=attacked,
        labels_read=tuple(_labels_read(steps, batches)),
        labels_known=_share_known(label_set(view), counts > 0),
        labels_present=(counts > 0).float().mean().item(),
        mean_image=guessed_by_mean(images.images, truth),
        majority=(counts.max() / counts.sum()).item(),
        noise=config.privacy.activation_noise,
        is_clipped=config.privacy.activation_clip is not None,
        control=control,
    )


def true_batches(config: RunConfig, transcript: Transcript, images: LabelledImages) -> dict[int, Batch]:
    """Return the client's batches of the steps that were kept, by step: drawn as the client drew them."""
    drawn = round_batches(transcript.client, images, config, transcript.round)
    every = {step: drawn.next() for step in range(1, max(transcript.frames, default=0) + 1)}
    return {step: every[step] for step in transcript.frames}


def _in_little_noise(
    view: ServerView, obscured: Obscured, batches: Mapping[int, Batch], outputs: Tensor
) -> float:
    """Return the decibel of A1 on ``outputs``, those of the head for the first batch, in little noise.

    It is the attack that is made in the noise that there is, and no other that needs none.
    """
    first = min(batches)
    frames = {**view.transcript.frames[first]}
    fakes, _ = frames[DISCRIMINATE.name, "up"]
    frames[DISCRIMINATE.name, "up"] = (fakes, Obfuscation(None, LITTLE_NOISE)(outputs))
    little = replace(
        view,
        obscured=replace(obscured, spreads=LITTLE_NOISE),
        transcript=replace(view.transcript, frames={first: frames}),
    )
    found = ATTACKS["A1"](SeenStep(little, first)).images.nan_to_num(0.0, 0.0, 0.0)
    return nearness(found, batches[first].images.float()).psnr


def _check_truth(view: ServerView, batches: Mapping[int, Batch]) -> Tensor:
    """Return what the head makes of the first batch, clipped if that is done.

    Raises ``OtherBatchesError`` unless that is what the client has sent of it.
    """
    first = min(batches)
    _, sent = view.saw(first, DISCRIMINATE, "up")
    with torch.no_grad():
        expected = view.head("discriminator")(batches[first].images.float(), batches[first].labels)
        if view.obscured is not None:
            expected = view.obscured.without_noise(expected)
    norm = torch.linalg.vector_norm(expected)
    deviation = torch.dist(expected, sent.float()) / norm
    if view.obscured is not None and view.obscured.spreads:
        deviation = ((expected * sent).sum() / norm.square() - 1).abs()
    if deviation > _LARGEST_DEVIATION:
        raise OtherBatchesError(
            f"client {view.transcript.client}: what it sent in step {first} does not come from the batch "
            "that is drawn for it here; clients with batches or weights of their own cannot be audited"
        )
    outputs: Tensor = expected
    return outputs


def _labels_read(steps: Iterable[SeenStep], batches: Mapping[int, Batch]) -> Iterator[LabelsRead]:
    for seen in steps:
        read = seen.real_labels if seen.view.has_real_activations else seen.guessed_labels
        if read is not None:
            yield LabelsRead(seen.step, read == batches[seen.step].labels)


def _compared(attack: str, step: int, found: Reconstruction, truth: Batch) -> Attacked:
    # A search that diverges has found nothing, and so grey.
    images = found.images.nan_to_num(0.0, 0.0, 0.0)
    return Attacked(attack, step, images, truth.images.float(), found.labels == truth.labels)


def _share_known(found: set[int] | None, present: Tensor) -> float | None:
    if found is None:
        return None
    right = sum((label in found) == bool(there) for label, there in enumerate(present))
    return right / len(present)
