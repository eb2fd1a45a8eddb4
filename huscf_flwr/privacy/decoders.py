"""A7, on FedVTC: what class means and a client's own decoder show of single images."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

import torch
from torch import Tensor

from huscf_flwr.data import Population, normalise
from huscf_flwr.methods.fedvtc.crossing import DECODER, STATISTICS, FedVTCDescription
from huscf_flwr.methods.fedvtc.drawing import initial_decoder
from huscf_flwr.methods.fedvtc.settings import FedVTCSettings
from huscf_flwr.methods.prototype_client import CLASS_MEANS
from huscf_flwr.models import CPU
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import CURIOUS_SERVER, MEANS, SSIM, Finding, Most
from huscf_flwr.privacy.scoring import structural_similarity
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.seeding import torch_stream

_FEATURES = "features of single images, from means over one image"
_NO_DECODER = "no decoder of it crossed in this round, as none does in the first: take --rounds 2"
_NO_OTHERS = "no other client of its domain has an image of its classes to compare with"
_STAYS = "decoders stay on their clients"
_IMAGES = "images, from a client's decoder around its classes' means"
_ALONG = (-1.5, -0.75, 0.0, 0.75, 1.5)
"""Places on the first component, in standard deviations."""


def means_and_decoders(evidence: Evidence, population: Population, shadows: int) -> list[Finding]:  # noqa: ARG001
    """Attack class means and decoders of clients of FedVTC."""
    return [_single_images(evidence), _drawn_images(evidence, population)]


def images_around_means(evidence: Evidence, transcript: Transcript) -> tuple[tuple[int, ...], Tensor] | None:
    """Return classes [N] that a client tells of, and what its decoder draws of them, [N, C, H, W].

    It is asked where it was trained to draw the client's images: at the global means if features were moved
    there (``fedvtc.latents``), else at the client's own; and where features are whitened, besides along the
    first component, on which all images of a class lie if they are few. None if no decoder crossed.
    """
    assert transcript.upload is not None
    tensors = transcript.upload.tensors
    if DECODER not in tensors:
        return None
    settings = evidence.config.settings(FedVTCSettings)
    classes, _ = _told(evidence, transcript.client)
    vectors = tensors[CLASS_MEANS]["means"].clone()
    if settings.latents != "sampled":
        sent = transcript.order.tensors[STATISTICS]
        for known, mean in zip(sent["classes"].tolist(), sent["means"], strict=True):
            if known in classes:
                vectors[classes.index(known)] = mean
    if settings.latents == "whitened":
        vectors = vectors.repeat(len(_ALONG), 1)
        vectors[:, 0] += settings.latent_spread * torch.tensor(_ALONG).repeat_interleave(len(classes))
        classes = classes * len(_ALONG)
    decoder = initial_decoder(evidence.config, CPU)
    decoder.load_state_dict(dict(tensors[DECODER]))
    with torch.no_grad():
        return classes, decoder(vectors).float()


def _single_images(evidence: Evidence) -> Finding:
    counts = [count for client in evidence.clients for count in _told(evidence, client)[1]]
    if not counts:
        why = "no client has enough images of a class to tell of its mean"
        withstood = dict.fromkeys(evidence.clients, why)
        return Finding("A7", CURIOUS_SERVER, _FEATURES, MEANS, reason=why, withstood=withstood)
    share = fmean(count == 1 for count in counts)
    details = {"least_count": evidence.config.settings(FedVTCSettings).least_count}
    return Finding("A7", CURIOUS_SERVER, _FEATURES, MEANS, share, 0.0, evidence.clients, details)


def _drawn_images(evidence: Evidence, population: Population) -> Finding:
    """Compare what decoders draw with images of their clients, and with as many of others.

    Without a floor, since nobody has measured what a better attack on decoders has. The detail ``ssim`` is of
    the drawn image of any class that is most like one of its client's own.
    """
    asked = "A7", CURIOUS_SERVER, _IMAGES, SSIM
    if DECODER not in evidence.method.crossing.upload_kinds:
        withstood = dict.fromkeys(evidence.clients, _STAYS)
        return Finding(*asked, reason=_STAYS, withstood=withstood)
    found = {each.client: images_around_means(evidence, each) for each in evidence.transcripts}
    drawn = {client: each for client, each in found.items() if each is not None and each[0]}
    untried = dict.fromkeys(found.keys() - drawn.keys(), _NO_DECODER)
    own, others = {}, {}
    for client, each in drawn.items():
        pairs = [*_compared(evidence, population, client, *each)]
        if pairs:
            own[client], others[client] = (fmean(side) for side in zip(*pairs, strict=True))
    untried |= dict.fromkeys(drawn.keys() - own.keys(), _NO_OTHERS)
    if not own:
        return Finding(*asked, reason="; ".join(dict.fromkeys(untried.values())), untried=untried)
    likest = max(_likest_own(population, client, *each) for client, each in drawn.items())
    most = max(own, key=lambda client: (own[client], -others[client]))
    return Finding(
        *(*asked, fmean(own.values()), fmean(others.values()), tuple(own), {"ssim": likest}),
        most=Most(most, own[most], others[most]),
        untried=untried,
    )


def _likest_own(population: Population, client: int, classes: tuple[int, ...], drawn: Tensor) -> float:
    """Return the greatest SSIM of any of the ``drawn`` [K, C, H, W] to an image that its client has of it."""
    own = population.images_of(client)
    return max(
        _likest(image, own.images[own.labels == label]) for label, image in zip(classes, drawn, strict=True)
    )


def _compared(
    evidence: Evidence, population: Population, client: int, classes: tuple[int, ...], drawn: Tensor
) -> Iterator[tuple[float, float]]:
    """Yield how like a drawn image is to the likest of the client's, and to that of as many of others'.

    Others are clients of the same domain.
    """
    domain = population.domain_of()
    own = population.images_of(client)
    peers = [k for k, name in domain.items() if name == domain[client] and k != client]
    stream = torch_stream(evidence.config.seed, "images of others", client)
    for label, image in zip(classes, drawn, strict=True):
        mine = own.images[own.labels == label]
        held = [population.images_of(k) for k in peers]
        theirs = torch.cat([each.images[each.labels == label] for each in held]) if held else mine[:0]
        count = min(len(mine), len(theirs))
        if count:
            near, far = (
                _likest(image, each[torch.randperm(len(each), generator=stream)[:count]])
                for each in (mine, theirs)
            )
            yield near, far


def _likest(image: Tensor, images: Tensor) -> float:
    """Return the greatest SSIM of ``image`` [C, H, W] to one of ``images`` [N, C, H, W], uint8."""
    return structural_similarity(image.expand(len(images), *image.shape), normalise(images)).max().item()


def _told(evidence: Evidence, client: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the classes that a client tells of, and how many images it has of each."""
    description = evidence.method.clients[client]
    assert isinstance(description, FedVTCDescription)
    return description.classes, description.counts
