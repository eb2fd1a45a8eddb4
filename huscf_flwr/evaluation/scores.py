"""Measures of quality as pure functions on tensors.

Of generated images, through the eyes of a judge classifier p(y | x):

- *label fidelity*: how often the judge sees the label that was asked for;
- *generation score* (spec: the Inception Score with a domain's own classifier): high when each image is
  clearly of one class and all classes occur; 1 at worst, the number of classes at best;
- *Fréchet distance* (FID with the judge's features): how far the features of generated images are from
  those of real ones, both taken as Gaussian; 0 is a perfect match.

Of a classifier's predictions: accuracy and macro-averaged precision, recall, F1 and false positive rate.
Of a clustering: the adjusted Rand index against the true domains. What cannot be known is `None`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from huscf_flwr.extras import extra

Array = NDArray[np.float64]


class DivergedError(ValueError):
    """What a model gives is not finite, so that there is nothing to score."""


@dataclass(frozen=True)
class ClassificationScores:
    """How well predictions agree with labels; each value is in [0, 1].

    Attributes:
        accuracy: share of right predictions.
        precision: mean over classes of the share of right ones among those predicted as the class.
        recall: mean over classes of the share of right ones among those of the class.
        f1: mean over classes of the harmonic mean of the two.
        fpr: mean over classes of the share predicted as the class among those of other classes.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    fpr: float


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Mean float64 [F] and covariance float64 [F, F] of the features of a set of images."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> FeatureStatistics:
        """Return the statistics of features [N, F].

        Raises:
            ValueError: if N is less than 2, for which there is no covariance.
        """
        if len(features) < 2:
            raise ValueError(f"the covariance of {len(features)} image(s) is not defined: give at least two")
        values = features.double()
        return cls(values.mean(dim=0), torch.cov(values.T).reshape(values.shape[1], values.shape[1]))


def generation_score(probabilities: Tensor) -> float:
    """Return exp(mean over x of KL(p(y | x) || p(y))), natural logarithm, in [1, classes].

    The authors' `evaluation.py` computes the same from 4,992 images (78 batches of 64; it drops the rest
    of 5,000 by floor division); here every image counts.

    Args:
        probabilities: the judge's p(y | x) for each generated image, [N, classes], rows sum to one.

    Raises:
        ValueError: if there are no images.
    """
    _check_not_empty(probabilities)
    conditional = probabilities.double()
    marginal = conditional.mean(dim=0, keepdim=True)
    # xlogy, because a probability may be exactly zero, and 0 log 0 is 0.
    divergence = torch.xlogy(conditional, conditional) - torch.xlogy(conditional, marginal)
    return float(divergence.sum(dim=1).mean().exp())


def label_fidelity(probabilities: Tensor, labels: Tensor) -> float:
    """Return the share of images [N, classes] that the judge takes for the label [N] asked for.

    Raises:
        ValueError: if there are no images.
    """
    _check_not_empty(probabilities)
    return float((probabilities.argmax(dim=1) == labels).double().mean())


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), at least 0 (Heusel et al. 2017).

    tr((C1 C2)^(1/2)) is taken as the sum of the square roots of the eigenvalues of the symmetric
    C1^(1/2) C2 C1^(1/2). Unlike a general matrix root this has no imaginary part to throw away and holds
    for singular covariances, as features that never fire give.
    """
    with extra("images", "judging"):
        from scipy import linalg  # noqa: PLC0415 - a ClientApp starts without it

    difference = first.mean - second.mean
    root = _symmetric_root(first.covariance.numpy())
    product = root @ second.covariance.numpy() @ root
    eigenvalues = linalg.eigvalsh((product + product.T) / 2)
    cross = np.sqrt(np.clip(eigenvalues, 0.0, None)).sum()
    traces = first.covariance.trace() + second.covariance.trace()
    return max(0.0, float(difference @ difference + traces) - 2.0 * float(cross))


def classification_scores(predictions: Tensor, labels: Tensor) -> ClassificationScores:
    """Compare predicted classes [N] with labels [N].

    Macro averages go over the classes that occur among labels or predictions. A ratio whose denominator
    is zero counts as zero.

    Raises:
        ValueError: if there are no samples.
    """
    with extra("images", "scoring a classifier"):
        from sklearn import metrics  # noqa: PLC0415 - a ClientApp starts without it

    _check_not_empty(labels)
    truth, predicted = labels.numpy(), predictions.numpy()
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, predicted, average="macro", zero_division=0
    )
    return ClassificationScores(
        accuracy=float(metrics.accuracy_score(truth, predicted)),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        fpr=_macro_false_positive_rate(metrics.multilabel_confusion_matrix(truth, predicted)),
    )


def adjusted_rand_index(clusters: Sequence[int], domains: Sequence[str | None]) -> float | None:
    """Return how well clusters agree with the true domains: 1 is perfect, 0 is chance.

    Args:
        clusters: the cluster of each client.
        domains: the domain of each client, in the same order; `None` where it is unknown.

    Returns:
        The index, or `None` if there are no clients, the domain of any of them is not known, or all have the
        same: of one domain every clustering into one cluster would be perfect, and any other chance.

    Raises:
        ValueError: if the lengths differ.
    """
    if len(clusters) != len(domains):
        raise ValueError(f"{len(clusters)} clients have a cluster but {len(domains)} a domain")
    if any(domain is None for domain in domains) or len(set(domains)) < 2:
        return None
    with extra("server", "comparing clusters with domains"):
        from sklearn import metrics  # noqa: PLC0415 - a ClientApp starts without it

    return float(metrics.adjusted_rand_score(list(domains), list(clusters)))


def check_can_score() -> None:
    """Raise ``MissingExtraError`` without what takes scores, before a judge is trained for them."""
    with extra("images", "judging"):
        for package in ("scipy.linalg", "sklearn.metrics"):
            import_module(package)


def _check_not_empty(samples: Tensor) -> None:
    if len(samples) == 0:
        raise ValueError("there are no images to score: give at least one")


def _symmetric_root(covariance: Array) -> Array:
    with extra("images", "judging"):
        from scipy import linalg  # noqa: PLC0415 - a ClientApp starts without it

    values, vectors = linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    return root


def _macro_false_positive_rate(confusions: NDArray[np.int64]) -> float:
    """Average over classes; `confusions` is [classes, 2, 2] of ((TN, FP), (FN, TP))."""
    true_negatives, false_positives = confusions[:, 0, 0], confusions[:, 0, 1]
    negatives = np.maximum(true_negatives + false_positives, 1)
    return float((false_positives / negatives).mean())
