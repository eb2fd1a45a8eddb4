"""A1: images and labels of the real batch, from the output of the discriminator's head (exchange 2).

A head of one block is inverted in closed form, if it has room for an image. Any other is searched for what
gives the same output: images, and labels too where they are not known, over the statistics of the very batch
that is searched for. The search begins with grey, and has no idea of what images look like: one that had
might get more.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from huscf_flwr.models import Blocks, Shape
from huscf_flwr.models.spec import ConvolutionSpec
from huscf_flwr.privacy.attacks.closed_form import (
    FirstConvolution,
    Reconstruction,
    before_activation,
    has_closed_form,
    label_planes,
)
from huscf_flwr.privacy.attacks.prior import Obscured
from huscf_flwr.privacy.attacks.search import SEARCH_STEPS, search

_CERTAIN = 50.0
"""The logit of a label that is known, beside zero for the others."""


def invert_head(
    head: Blocks,
    outputs: Tensor,
    input_shape: Shape,
    labels: Tensor | None = None,
    steps: int = SEARCH_STEPS,
    obscured: Obscured | None = None,
) -> Reconstruction:
    """Return what a discriminator's ``head`` was given, by its ``outputs`` [B, channels, h, w].

    ``labels`` [B] are those that are known already; ``obscured`` says how outputs were clipped or noised, if
    they were. A search takes ``steps`` steps.
    """
    first = head.at(0)
    if obscured is not None:
        return _searched_for_obscured(head, outputs, labels, steps, obscured)
    if has_closed_form(head, outputs, input_shape):
        assert isinstance(first.spec, ConvolutionSpec)
        return _invert_first_block(first.state_dict(), first.spec, outputs, input_shape)
    return _searched(head, outputs, input_shape, labels, steps)


def _invert_first_block(
    state: dict[str, Tensor], spec: ConvolutionSpec, outputs: Tensor, input_shape: Shape
) -> Reconstruction:
    before = before_activation(outputs, spec)
    convolution = FirstConvolution.of(
        state["main.weight"], label_planes(state, input_shape), spec, input_shape
    )
    if spec.norm == "none":
        return convolution.invert(before - state["main.bias"].double().view(1, -1, 1, 1))
    scale, shift = (state[f"norm.{name}"].double().view(1, -1, 1, 1) for name in ("weight", "bias"))
    return convolution.invert_normalised((before - shift) / scale)


def _searched(
    head: Blocks, outputs: Tensor, input_shape: Shape, labels: Tensor | None, steps: int
) -> Reconstruction:
    head, classes = _with_weighted_labels(head)
    images = torch.zeros(len(outputs), *input_shape).requires_grad_()
    votes = torch.zeros(len(outputs), classes).requires_grad_()
    if labels is None:
        search([images, votes], lambda: head(images.tanh(), votes.softmax(1)), outputs, steps)
        labels = votes.argmax(1)
    else:
        known = functional.one_hot(labels, classes).to(images.dtype)
        search([images], lambda: head(images.tanh(), known), outputs, steps)
    return Reconstruction(images.tanh().detach(), labels)


def _searched_for_obscured(
    head: Blocks, outputs: Tensor, labels: Tensor | None, steps: int, obscured: Obscured
) -> Reconstruction:
    """Search for the likeliest images, by the prior and by what crossed (maximum a posteriori)."""
    head, classes = _with_weighted_labels(head)
    prior, pixels = obscured.prior, obscured.prior.root.shape[0]
    coordinates = torch.zeros(len(outputs), pixels).requires_grad_()
    votes = torch.zeros(len(outputs), classes)
    if labels is not None:
        votes = _CERTAIN * functional.one_hot(labels, classes).float()
    sought = [coordinates] if labels is not None else [coordinates, votes.requires_grad_()]
    # Both squares are divided by their variances; what is left of that after multiplying by the noise's.
    weight = obscured.variance(outputs) / outputs.numel()
    search(
        sought,
        lambda: obscured.without_noise(head(prior.images(coordinates), votes.softmax(1))),
        outputs,
        steps,
        lambda: weight * coordinates.square().sum(),
    )
    with torch.no_grad():
        return Reconstruction(prior.images(coordinates).clamp(-1, 1), votes.argmax(1))


class _WeightedEmbedding(nn.Embedding):
    """The embedding of a mixture of labels."""

    def forward(self, weights: Tensor) -> Tensor:
        """Map the weights of labels [B, classes] to [B, size]."""
        return weights @ self.weight


def _with_weighted_labels(head: Blocks) -> tuple[Blocks, int]:
    """Return a copy of ``head`` that takes weights [B, classes] in place of labels, and their number."""
    head = copy.deepcopy(head)
    embedding = head.at(0).embedding
    weighted = _WeightedEmbedding(embedding.num_embeddings, embedding.embedding_dim)
    weighted.load_state_dict(embedding.state_dict())
    head.at(0).embedding = weighted
    return head.requires_grad_(False), embedding.num_embeddings
