"""The generator of features, and the losses that train it on the heads of several clients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class FeatureGenerator(nn.Module):
    """Makes features [B, p] from noise and labels: linear, BatchNorm, ReLU, linear.

    Args:
        noise: numbers of noise for each.
        classes: number of all classes; labels go in as one of so many.
        hidden: width of the hidden layer.
        features: width p.
    """

    def __init__(self, noise: int, classes: int, hidden: int, features: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(noise + classes, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.out = nn.Linear(hidden, features)
        self._noise, self._classes = noise, classes

    def draw_noise(self, count: int, stream: torch.Generator) -> Tensor:
        """Return standard normal noise [count, noise], drawn on the CPU, as the weights are."""
        like = self.out.weight
        return torch.randn(count, self._noise, generator=stream, dtype=like.dtype).to(like.device)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return features [B, p] for ``noise`` [B, noise] and ``labels`` [B], int64."""
        known = functional.one_hot(labels, self._classes).to(noise)
        hidden = functional.relu(self.norm(self.hidden(torch.cat((noise, known), dim=1))))
        features: Tensor = self.out(hidden)
        return features


class Heads(NamedTuple):
    """The heads of K clients, and how much each is heard on each label."""

    weights: Tensor
    """[K, C, p]"""
    biases: Tensor
    """[K, C]"""
    shares: Tensor
    """[K, C]: of all images of a label, the share that the client has. What nobody has is not drawn."""

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits [K, B, C] of all heads for ``features`` [B, p]."""
        return torch.einsum("kcp,bp->kbc", self.weights, features) + self.biases.unsqueeze(1)


def teacher_loss(heads: Heads, features: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over features [B, p] of the heads' cross entropies, by their shares of its label [B].

    The official code multiplies cross entropies [B] by shares [B, 1], and so hears a head on every label as
    much as on the others; here each label has its own shares, as in the paper (arXiv 2105.10056).
    """
    losses = -functional.log_softmax(heads.logits(features), dim=2)
    own = losses.gather(2, labels.expand(len(losses), -1).unsqueeze(2)).squeeze(2)
    return (heads.shares[:, labels] * own).sum(dim=0).mean()


def student_divergence(heads: Heads, student: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Return the mean KL divergence of a head's predictions, as logits [B, C], from those of all heads."""
    teacher = torch.einsum("kb,kbc->bc", heads.shares[:, labels], heads.logits(features))
    return functional.kl_div(
        functional.log_softmax(student, dim=1),
        functional.log_softmax(teacher, dim=1),
        reduction="batchmean",
        log_target=True,
    )


def diversity_loss(noise: Tensor, features: Tensor) -> Tensor:
    """Return exp(-mean over pairs of d(noise) d(features)): small where unlike noise gives unlike features.

    Distances are mean squares for ``noise`` [B, d], and mean absolute differences for ``features`` [B, p].
    """
    apart = (noise.unsqueeze(0) - noise.unsqueeze(1)).square().mean(dim=2)
    different = (features.unsqueeze(0) - features.unsqueeze(1)).abs().mean(dim=2)
    return torch.exp(-(apart * different).mean())
