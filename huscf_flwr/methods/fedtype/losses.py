"""What a private model learns from the sets of a proxy, and the proxy from the private model."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def agreement(one: Tensor, other: Tensor) -> Tensor:
    """Return how much two sets of classes have in common, [N]: shared ones among all, from 0 to 1.

    Args:
        one: bool [N, C], no set empty.
        other: the same of other sets.
    """
    return (one & other).sum(dim=1) / (one | other).sum(dim=1)


def ranking_loss(logits: Tensor, sets: Tensor) -> Tensor:
    """Return by how much classes outside of the sets are ahead of those inside, a scalar.

    It is the mean over images, and for each over all pairs of a class outside and one inside, of max(0, logit
    outside - logit inside). A set of all classes says nothing, and adds zero. Gradients go to ``logits``: in
    the paper's public code this loss is computed from the teacher's logits, and teaches the student nothing.

    Args:
        logits: [N, C], of the model that is to learn.
        sets: bool [N, C], of the model that teaches.
    """
    ahead = functional.relu(logits.unsqueeze(1) - logits.unsqueeze(2))
    pairs = (sets.unsqueeze(2) & ~sets.unsqueeze(1)).to(ahead)
    return ((ahead * pairs).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2)).clamp(min=1)).mean()


def distillation_loss(logits: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Return the mean KL divergence of a model's predictions, as ``logits`` [N, C], from its ``teacher``'s.

    All logits are divided by ``temperature`` before.
    """
    return functional.kl_div(
        functional.log_softmax(logits / temperature, dim=1),
        functional.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
