"""The losses against computations in numbers, and a mistake of the official code."""

import math

import pytest
import torch

from huscf_flwr.methods.fedgen.generator import (
    FeatureGenerator,
    Heads,
    diversity_loss,
    student_divergence,
    teacher_loss,
)

CLIENTS, CLASSES, FEATURES, BATCH = 3, 4, 2, 5
LABELS = [0, 3, 3, 1, 2]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def heads():
    counts = torch.tensor([[5, 0, 1, 3], [5, 2, 0, 1], [0, 6, 1, 0]], dtype=torch.float64)
    shares = counts / counts.sum(0)
    return Heads(random(CLIENTS, CLASSES, FEATURES), random(CLIENTS, CLASSES, seed=1), shares)


def logits_of(heads, client, feature):
    return [
        sum(w * x for w, x in zip(heads.weights[client, each].tolist(), feature, strict=True))
        + float(heads.biases[client, each])
        for each in range(CLASSES)
    ]


def shares_of(logits):
    weights = [math.exp(each) for each in logits]
    return [weight / sum(weights) for weight in weights]


def test_heads_are_heard_on_a_label_by_their_share_of_it(heads):
    features = random(BATCH, FEATURES, seed=2)
    expected = sum(
        -float(heads.shares[client, label]) * math.log(shares_of(logits_of(heads, client, feature))[label])
        for feature, label in zip(features.tolist(), LABELS, strict=True)
        for client in range(CLIENTS)
    )
    found = teacher_loss(heads, features, torch.tensor(LABELS))
    assert float(found) == pytest.approx(expected / BATCH)


def test_what_a_head_says_of_a_label_that_its_client_lacks_counts_for_nothing(heads):
    """With shares [B, 1] against losses [B], as in the official code, it would count."""
    features, labels = random(BATCH, FEATURES, seed=2), torch.tensor([1, 1, 1, 1, 0])
    before = teacher_loss(heads, features[:4], labels[:4])
    changed = heads._replace(weights=heads.weights.clone())
    changed.weights[0] *= 100
    assert float(teacher_loss(changed, features[:4], labels[:4])) == pytest.approx(float(before))
    assert float(teacher_loss(changed, features, labels)) != pytest.approx(
        float(teacher_loss(heads, features, labels))
    )


def test_the_student_is_apart_from_the_teachers_mean_logits(heads):
    features, student = random(BATCH, FEATURES, seed=2), random(BATCH, CLASSES, seed=3)
    expected = 0.0
    for row, label in enumerate(LABELS):
        each = [logits_of(heads, client, features[row].tolist()) for client in range(CLIENTS)]
        weights = heads.shares[:, label].tolist()
        mean = [sum(w * logits[k] for w, logits in zip(weights, each, strict=True)) for k in range(CLASSES)]
        p, q = shares_of(mean), shares_of(student[row].tolist())
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / BATCH
    found = student_divergence(heads, student, features, torch.tensor(LABELS))
    assert float(found) == pytest.approx(expected)


def test_diversity_is_worked_by_hand():
    """Noise 0, 2 (mean square 4), features [1, 1], [2, 4] (mean difference 2): half of the pairs are 8."""
    noise, features = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0, 1.0], [2.0, 4.0]])
    assert float(diversity_loss(noise, features)) == pytest.approx(math.exp(-4))
    assert float(diversity_loss(noise, features * 0)) == 1


def test_the_generator_is_two_layers_with_a_norm():
    generator = FeatureGenerator(3, CLASSES, 6, FEATURES).double()
    noise, labels = random(BATCH, 3), torch.tensor(LABELS)
    joined = torch.cat((noise, torch.eye(CLASSES).double()[labels]), 1)
    hidden = joined @ generator.hidden.weight.T + generator.hidden.bias
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    expected = hidden.clamp(min=0) @ generator.out.weight.T + generator.out.bias
    torch.testing.assert_close(generator(noise, labels), expected)
