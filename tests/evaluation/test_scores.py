import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.evaluation.scores import (
    FeatureStatistics,
    adjusted_rand_index,
    classification_scores,
    frechet_distance,
    generation_score,
    label_fidelity,
)


@pytest.mark.parametrize("classes", [2, 10])
def test_generation_score_of_certain_and_balanced_predictions_is_the_number_of_classes(classes):
    assert generation_score(torch.eye(classes).repeat(5, 1)) == pytest.approx(classes)


def test_generation_score_of_constant_predictions_is_one():
    assert generation_score(torch.tensor([[0.7, 0.2, 0.1]]).repeat(20, 1)) == pytest.approx(1.0)


def test_generation_score_worked_by_hand():
    # p(y) = (1/2, 1/2); each row has KL = 0.9 ln(0.9 / 0.5) + 0.1 ln(0.1 / 0.5).
    divergence = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    probabilities = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    assert generation_score(probabilities) == pytest.approx(math.exp(divergence))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32))
def test_generation_score_lies_between_one_and_the_number_of_classes(images, classes, seed):
    logits = 4 * torch.randn(images, classes, generator=torch.Generator().manual_seed(seed))
    assert 1 - 1e-6 <= generation_score(logits.softmax(dim=1)) <= classes + 1e-6


def test_label_fidelity_is_the_share_of_images_seen_as_asked():
    probabilities = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    assert label_fidelity(probabilities, torch.tensor([0, 0, 1, 1])) == 0.75


@pytest.mark.parametrize(
    "score",
    [
        lambda: generation_score(torch.empty(0, 10)),
        lambda: label_fidelity(torch.empty(0, 10), torch.empty(0, dtype=torch.int64)),
        lambda: classification_scores(torch.empty(0), torch.empty(0)),
    ],
)
def test_no_images_are_refused(score):
    with pytest.raises(ValueError, match="at least one"):
        score()


def gaussian(mean, variances):
    return FeatureStatistics(
        torch.tensor(mean, dtype=torch.float64), torch.diag(torch.tensor(variances, dtype=torch.float64))
    )


def test_frechet_distance_of_features_to_themselves_is_zero():
    features = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(FeatureStatistics.of(features), FeatureStatistics.of(features)) < 1e-9


def test_frechet_distance_of_a_shift_is_its_squared_length():
    features = torch.randn(200, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moved = features + torch.tensor([3.0, 0.0, 4.0])
    distance = frechet_distance(FeatureStatistics.of(features), FeatureStatistics.of(moved))
    assert distance == pytest.approx(25.0)


def test_frechet_distance_of_diagonal_gaussians():
    # (1 - 3)^2 from the means, (sqrt 4 - sqrt 9)^2 + (sqrt 1 - sqrt 1)^2 from the variances.
    assert frechet_distance(gaussian([1, 0], [4, 1]), gaussian([3, 0], [9, 1])) == pytest.approx(5.0)


def test_frechet_distance_holds_where_a_feature_never_fires():
    # tr C1 + tr C2 - 2 tr (C1 C2)^(1/2) = 1 + 1 - 0: the two vary along different axes.
    assert frechet_distance(gaussian([0, 0], [1, 0]), gaussian([0, 0], [0, 1])) == pytest.approx(2.0)


@given(st.integers(0, 2**32))
def test_frechet_distance_is_symmetric_and_not_negative(seed):
    generator = torch.Generator().manual_seed(seed)
    first = FeatureStatistics.of(torch.randn(5, 8, generator=generator))
    second = FeatureStatistics.of(torch.randn(20, 8, generator=generator).relu())
    distance = frechet_distance(first, second)
    assert distance >= 0
    assert distance == pytest.approx(frechet_distance(second, first), abs=1e-5)


def test_statistics_of_one_image_are_refused():
    with pytest.raises(ValueError, match="at least two"):
        FeatureStatistics.of(torch.zeros(1, 4))


def test_statistics_of_a_single_feature_keep_their_shape():
    statistics = FeatureStatistics.of(torch.tensor([[1.0], [3.0]]))
    assert statistics.mean.tolist() == [2.0]
    assert statistics.covariance.tolist() == [[2.0]]


def test_classification_scores_worked_by_hand():
    # Class:        0          1          2
    # TP, FP, FN    1, 0, 1    2, 1, 0    1, 1, 1
    # precision     1          2/3        1/2
    # recall        1/2        1          1/2
    # F1            2/3        4/5        1/2
    # FP + TN       4          4          4        (six samples, two of each class)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    predictions = torch.tensor([0, 2, 1, 1, 2, 1])
    scores = classification_scores(predictions, labels)
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.precision == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert scores.recall == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert scores.f1 == pytest.approx((2 / 3 + 4 / 5 + 1 / 2) / 3)
    assert scores.fpr == pytest.approx((0 + 1 / 4 + 1 / 4) / 3)


def test_one_predicted_class_counts_as_zero_precision_for_the_others():
    scores = classification_scores(torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, 2, 3]))
    assert scores.precision == pytest.approx(1 / 16)
    assert scores.fpr == pytest.approx(1 / 4)


def test_a_single_class_has_no_false_positives():
    labels = torch.ones(3, dtype=torch.int64)
    assert classification_scores(labels, labels).fpr == 0.0


def test_adjusted_rand_index_ignores_the_names_of_clusters():
    assert adjusted_rand_index([7, 7, 2, 2], ["digits", "digits", "letters", "letters"]) == 1.0


def test_adjusted_rand_index_of_one_cluster_for_two_domains_is_chance():
    assert adjusted_rand_index([0, 0, 0, 0], ["digits", "digits", "letters", "letters"]) == 0.0


def test_adjusted_rand_index_worked_by_hand():
    # Pairs together in both: 2 of C(5, 2) = 10; in clusters 4, in domains 4; expected 4 * 4 / 10 = 1.6.
    index = adjusted_rand_index([0, 0, 0, 1, 1], ["a", "a", "b", "b", "b"])
    assert index == pytest.approx((2 - 1.6) / (4 - 1.6))


@pytest.mark.parametrize(("clusters", "domains"), [([], []), ([0, 1], ["digits", None])])
def test_adjusted_rand_index_is_unknown_without_all_domains(clusters, domains):
    assert adjusted_rand_index(clusters, domains) is None


@pytest.mark.parametrize("clusters", [[0, 0, 0], [0, 1, 1], [0, 1, 2]])
def test_adjusted_rand_index_of_one_domain_says_nothing(clusters):
    """One cluster would be perfect, and two no better than chance, whatever was found."""
    assert adjusted_rand_index(clusters, ["digits"] * 3) is None


def test_adjusted_rand_index_refuses_different_lengths():
    with pytest.raises(ValueError, match="2 clients have a cluster but 1 a domain"):
        adjusted_rand_index([0, 1], ["digits"])
