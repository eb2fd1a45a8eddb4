"""A6: whether a client trained on an image, from its discriminator, or from a generator alone.

A discriminator takes images that it was trained on for real more surely than others, and a generator draws
nearer to what it was trained on. How sure or how near depends far more on the image than on that, so
whatever is made of one image is compared with what *shadow models* make of it: models that the attacker
trains itself, each on half of the images that it asks about, so that it knows of each what it looks like
with the image and without (LiRA, Carlini et al. 2022; for generators GAN-Leaks, Chen et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from huscf_flwr.models import Blocks, BlockStates, ModelSpec, Sampler, build_network
from huscf_flwr.seeding import torch_stream

Compare = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Returns scores [N] of a target [N], by those of shadow models [S, N] and who was trained on what."""

DRAWN_OF_LABEL = 200
"""Images that a generator is asked for, of each label."""
_LEAST_SPREAD = 1e-6


def realness(spec: ModelSpec, states: BlockStates, images: Tensor, labels: Tensor) -> Tensor:
    """Return a discriminator's logits [N] for ``images`` [N, C, H, W] from -1 to 1 with ``labels`` [N].

    They are normalised all together, as batches are in training: running statistics are of fakes too.
    """
    network: Blocks = build_network(spec, "discriminator")
    network.load({key: state for key, state in states.items() if key[0] == "discriminator"})
    with torch.no_grad():
        logits: Tensor = network(images, labels)
    return logits.flatten()


def closeness(sampler: Sampler, images: Tensor, labels: Tensor, seed: int, drawn: int) -> Tensor:
    """Return minus the least squared distance [N] of each image to ``drawn`` ones of its label."""
    found = torch.empty(len(images))
    for label in sorted(set(labels.tolist())):
        stream = torch_stream(seed, "membership", label)
        near = sampler(torch.full((drawn,), label), stream).flatten(1)
        of_label = labels == label
        distances = torch.cdist(images[of_label].float().flatten(1), near)
        found[of_label] = -distances.square().min(1).values
    return found


def likelihood_ratio(target: Tensor, shadows: Tensor, inside: Tensor) -> Tensor:
    """Return how much likelier each of ``target`` [N] is if its image was trained on: a logarithm, [N].

    ``shadows`` [S, N] are the same of shadow models, ``inside`` [S, N] says which of them were trained on
    the image. Both are normal distributions. The means are the image's; the spread is one for all images,
    since a few shadow models do not tell it for each (equation 4 and section VI of Carlini et al. 2022).
    """
    weights = inside.double()
    means = torch.stack(
        [(shadows * each).sum(0) / each.sum(0).clamp(min=1) for each in (weights, 1 - weights)]
    )
    residuals = shadows - torch.where(inside, means[0], means[1])
    freedom = max(residuals.numel() - 2 * residuals.shape[1], 1)
    variance = (residuals.square().sum() / freedom).clamp(min=_LEAST_SPREAD)
    # The two likelihoods have the same spread, so that only distances to the means are left.
    return ((target - means[1]).square() - (target - means[0]).square()) / (2 * variance)


def calibrated(target: Tensor, shadows: Tensor, inside: Tensor) -> Tensor:
    """Return how far ``target`` [N] is above the mean of the ``shadows`` [S, N] that are not ``inside``.

    They are of models that were not trained on the image, as in ``likelihood_ratio``. It needs no spread, and
    is better where being trained on an image changes less than the spread is.
    """
    outside = (~inside).double()
    return target - (shadows * outside).sum(0) / outside.sum(0)


def uncalibrated(target: Tensor, shadows: Tensor, inside: Tensor) -> Tensor:  # noqa: ARG001
    """Return ``target`` [N] as it is: a model that leaks enough needs nobody beside it.

    It is the attack that is left where shadow models turn out on another scale than the model that is asked.
    """
    return target


COMPARISONS: Mapping[str, Compare] = {
    "likelihood ratio": likelihood_ratio,
    "calibrated": calibrated,
    "uncalibrated": uncalibrated,
}
"""What may be made of the same scores, by name: each is an attack of its own."""
