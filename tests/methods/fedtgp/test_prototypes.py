"""The loss and the margin against a computation in numbers, and what they must hold whatever the numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.methods.fedtgp.prototypes import PrototypeNetwork, contrastive_loss, margin_of


def distance(one, other):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def loss_in_numbers(means, places, prototypes, margin):
    """Minus the logarithm of the share of a mean's own prototype, with its distance made larger."""
    losses = []
    for mean, place in zip(means, places, strict=True):
        weights = [
            math.exp(-(distance(mean, each) + (margin if k == place else 0)))
            for k, each in enumerate(prototypes)
        ]
        losses.append(-math.log(weights[place] / sum(weights)))
    return sum(losses) / len(losses)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("margin", [0.0, 0.7, 3.0])
def test_the_loss_is_that_of_distances_with_a_margin_on_ones_own(margin):
    means, prototypes, places = random(5, 3), random(4, 3, seed=1), [0, 3, 3, 1, 2]
    found = contrastive_loss(means, torch.tensor(places), prototypes, margin)
    assert float(found) == pytest.approx(loss_in_numbers(means.tolist(), places, prototypes.tolist(), margin))


def test_the_example_worked_by_hand():
    """At distance 3 from its own prototype, 5 from the other: log(1 + exp(3 + 1 - 5)) with a margin of 1."""
    found = contrastive_loss(
        torch.tensor([[0.0, 0.0]]), torch.tensor([0]), torch.tensor([[3.0, 0.0], [3.0, 4.0]]), 1.0
    )
    assert float(found) == pytest.approx(math.log(1 + math.exp(-1)))


def test_a_mean_that_lies_on_a_prototype_gives_no_nan():
    prototypes = random(3, 2).requires_grad_()
    contrastive_loss(prototypes.detach().clone(), torch.arange(3), prototypes, 1.0).backward()
    assert prototypes.grad.isfinite().all()
    assert prototypes.grad.abs().sum() > 0


def margin_in_numbers(means, largest):
    gaps = [
        min(distance(one, other) for j, other in enumerate(means) if j != k) for k, one in enumerate(means)
    ]
    return min(max(gaps), largest)


@given(st.integers(2, 6), st.integers(0, 1000), st.sampled_from([0.1, 1.0, 100.0]))
@settings(deadline=None, max_examples=30)
def test_the_margin_is_the_largest_distance_to_the_nearest_other(count, seed, largest):
    means = random(count, 3, seed=seed)
    assert margin_of(means, largest) == pytest.approx(margin_in_numbers(means.tolist(), largest))


def test_with_one_class_the_margin_is_the_largest():
    assert margin_of(random(1, 3), 7.0) == 7.0


def test_prototypes_are_two_linear_layers_on_an_embedding():
    network = PrototypeNetwork(4, 3).double()
    embedded = network.embedding.weight[[2, 0]]
    hidden = (embedded @ network.hidden.weight.T + network.hidden.bias).clamp(min=0)
    expected = hidden @ network.out.weight.T + network.out.bias
    torch.testing.assert_close(network(torch.tensor([2, 0])), expected)
    assert sum(each.numel() for each in network.parameters()) == 4 * 3 + 2 * (3 * 3 + 3)
