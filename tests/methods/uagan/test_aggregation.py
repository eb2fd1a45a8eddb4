import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from huscf_flwr.methods.uagan.aggregation import aggregated_logits, loss_gradient

PROBABILITIES = st.floats(0.01, 0.99)
COUNTS = st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=4)


def columns(*numbers):
    """One number for each client, of a single image: [N, 1]."""
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)


def loss_by_the_formula(logits, counts, labels):
    """As the paper prints it, on probabilities; only fakes with a label that somebody holds."""
    total, held = 0.0, 0
    for place, label in enumerate(labels.tolist()):
        of_label = counts[:, label].double()
        if of_label.sum() == 0:
            continue
        judged = logits[:, place].sigmoid()
        odds = (of_label / of_label.sum() * judged / (1 - judged)).sum()
        total, held = total - torch.log(odds / (1 + odds)), held + 1
    return total / held if held else None


def test_odds_are_added_up_with_weights():
    """Odds 1/3 and 3, weights 1/4 and 3/4: odds 7/3, so that 0.7 are taken for real."""
    logits = columns(1 / 3, 3.0).log()
    found = aggregated_logits(logits, columns(0.25, 0.75))
    assert found.sigmoid().item() == pytest.approx(0.7, abs=1e-12)


@given(PROBABILITIES)
def test_clients_that_agree_are_one_discriminator(probability):
    logits = columns(*[probability] * 3).logit()
    found = aggregated_logits(logits, columns(0.5, 0.3, 0.2))
    assert found.sigmoid().item() == pytest.approx(probability, abs=1e-12)


def test_a_client_without_weight_has_no_say_even_if_it_is_sure():
    logits = columns(0.0, 500.0)
    assert aggregated_logits(logits, columns(1.0, 0.0)).item() == 0


def test_logits_of_any_size_give_finite_numbers():
    logits = torch.tensor([[4000.0, -4000.0], [-4000.0, -4000.0]])
    loss, gradient = loss_gradient(logits, torch.tensor([[1, 0], [1, 1]]), torch.tensor([0, 1]))
    assert math.isfinite(loss)
    assert gradient.isfinite().all()


@settings(deadline=None, max_examples=40)
@given(COUNTS, st.integers(0, 10_000))
def test_loss_and_gradient_are_those_of_the_formula(counts, seed):
    stream = torch.Generator().manual_seed(seed)
    counts, labels = torch.tensor(counts), torch.randint(3, (6,), generator=stream)
    logits = torch.randn(len(counts), 6, generator=stream, dtype=torch.float64)
    loss, gradient = loss_gradient(logits, counts, labels)
    leaf = logits.clone().requires_grad_()
    expected = loss_by_the_formula(leaf, counts, labels)
    if expected is None:
        assert loss == 0
        assert not gradient.any()
        return
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-10)
    torch.testing.assert_close(gradient, leaf.grad, rtol=0, atol=1e-10)
    assert not gradient[:, counts[:, labels].sum(0) == 0].any()
    assert not gradient[counts[:, labels] == 0].any()
