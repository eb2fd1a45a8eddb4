import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.federation.weighting import KLDWeighting, SampleWeighting

clients = st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 1e6)), min_size=1, max_size=12)


def columns(rows):
    samples, divergences = zip(*rows, strict=True)
    return torch.tensor(samples), torch.tensor(divergences, dtype=torch.float64)


@settings(deadline=None)
@given(rows=clients, beta=st.floats(0, 1e3))
def test_weights_are_not_negative_and_sum_to_one(rows, beta):
    for weighting in (KLDWeighting(beta), SampleWeighting()):
        weights = weighting(*columns(rows))
        assert weights.dtype == torch.float64
        assert bool((weights >= 0).all())
        assert math.isclose(weights.sum().item(), 1, rel_tol=1e-12)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 5)), min_size=1, max_size=8),
    beta=st.floats(0, 20),
)
def test_weights_equal_the_formula(rows, beta):
    terms = [samples * math.exp(-beta * divergence) for samples, divergence in rows]
    expected = [term / sum(terms) for term in terms]
    assert KLDWeighting(beta)(*columns(rows)).tolist() == pytest.approx(expected, rel=1e-9)


@settings(deadline=None)
@given(rows=clients)
def test_beta_zero_is_federated_averaging(rows):
    torch.testing.assert_close(KLDWeighting(0)(*columns(rows)), SampleWeighting()(*columns(rows)))


def test_hand_worked_weights():
    samples, divergences = torch.tensor([100, 300]), torch.tensor([0.0, math.log(3)])
    assert SampleWeighting()(samples, divergences).tolist() == [0.25, 0.75]
    assert KLDWeighting(1)(samples, divergences).tolist() == pytest.approx([0.5, 0.5])


def test_divergences_too_large_for_the_exponential_still_give_weights():
    weights = KLDWeighting(1)(torch.tensor([1, 1]), torch.tensor([1e5, 1e5 + 1]))
    assert weights.tolist() == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])


def test_a_client_without_samples_has_weight_zero():
    for weighting in (KLDWeighting(1), SampleWeighting()):
        assert weighting(torch.tensor([0, 5]), torch.zeros(2)).tolist() == [0, 1]


@pytest.mark.parametrize("weighting", [KLDWeighting(1), SampleWeighting()])
@pytest.mark.parametrize(
    ("samples", "divergences", "message"),
    [
        ([0, 0], [0.0, 0.0], "one must be positive"),
        ([-1, 2], [0.0, 0.0], "none may be negative"),
        ([1, 2], [0.0, math.nan], "not all finite"),
        ([1, 2], [0.0], "must both be"),
        ([], [], "at least one client"),
    ],
)
def test_invalid_input_is_an_error(weighting, samples, divergences, message):
    with pytest.raises(ValueError, match=message):
        weighting(torch.tensor(samples), torch.tensor(divergences))


@pytest.mark.parametrize("beta", [-1.0, math.nan, math.inf])
def test_invalid_beta_is_an_error(beta):
    with pytest.raises(ValueError, match="beta"):
        KLDWeighting(beta)
