"""What is spent: against a computation of our own, and what noise a wished epsilon takes."""

from __future__ import annotations

import math

import pytest
from scipy.optimize import brentq
from scipy.special import comb, logsumexp
from scipy.stats import norm

from huscf_flwr.accounting import BudgetSpentError, Releases, epsilon_of, noise_multiplier_for

_DELTA = 1e-5


def _own_epsilon(releases: Releases) -> float:
    """Return epsilon by the Rényi divergences of whole orders (arXiv 1908.10530, section 3.3)."""
    q, z = releases.sampling_rate, releases.noise_multiplier
    found = []
    for order in range(2, 128):
        terms = [
            math.log(comb(order, k))
            + k * math.log(q)
            + (order - k) * math.log1p(-q)
            + k * (k - 1) / (2 * z * z)
            for k in range(order + 1)
        ]
        divergence = releases.steps * float(logsumexp(terms)) / (order - 1)
        # From divergence to epsilon: arXiv 2004.00010, proposition 12.
        found.append(divergence + math.log1p(-1 / order) - math.log(_DELTA * order) / (order - 1))
    return min(found)


@pytest.mark.parametrize(
    "releases",
    [Releases(64 / 7000, 1.0, 500), Releases(64 / 7000, 2.0, 5500), Releases(64 / 700, 4.0, 2750)],
)
def test_epsilon_is_that_of_a_computation_of_our_own_and_losses_bound_it_closer(releases: Releases) -> None:
    by_divergences = epsilon_of([releases], _DELTA, "rdp")

    assert by_divergences == pytest.approx(_own_epsilon(releases), rel=0.02)
    assert 0.7 * by_divergences < epsilon_of([releases], _DELTA) <= by_divergences


def _deltas_of_one_step(q: float, z: float, epsilon: float) -> tuple[float, float]:
    """Return delta if an image is removed, and if one is added: N(0, z) beside (1 - q) N(0, z) + q N(1, z).

    Each is the integral of what one density has more than e^epsilon times the other. The first has more
    above a place where the ratio of both is e^epsilon, the second below one where it is e^-epsilon.
    """

    def place(ratio: float) -> float:
        return z * z * math.log((ratio - (1 - q)) / q) + 0.5

    def mixed(x: float) -> float:
        return float((1 - q) * norm.sf(x / z) + q * norm.sf((x - 1) / z))

    above = place(math.exp(epsilon))
    removed = mixed(above) - math.exp(epsilon) * float(norm.sf(above / z))
    if math.exp(-epsilon) <= 1 - q:
        return removed, 0.0
    below = place(math.exp(-epsilon))
    return removed, float(norm.cdf(below / z)) - math.exp(epsilon) * (1 - mixed(below))


@pytest.mark.parametrize(("q", "z"), [(0.01, 0.5), (0.1, 0.7), (0.5, 1.0), (0.9, 2.0)])
def test_of_one_step_epsilon_is_the_exact_one_and_never_below(q: float, z: float) -> None:
    exact = brentq(lambda epsilon: max(_deltas_of_one_step(q, z, epsilon)) - _DELTA, 1e-9, 60.0)

    assert exact <= epsilon_of([Releases(q, z, 1)], _DELTA) <= exact + 2e-3


@pytest.mark.parametrize(("z", "steps"), [(1.0, 1), (4.0, 10), (30.0, 500)])
def test_where_every_image_is_in_every_step_epsilon_is_that_of_the_gaussian_mechanism(
    z: float, steps: int
) -> None:
    """Steps together are one of noise z / sqrt(steps); its delta is exact (arXiv 1805.06530, theorem 8)."""
    mean = math.sqrt(steps) / z

    def delta(epsilon: float) -> float:
        more = math.exp(epsilon) * norm.cdf(-mean / 2 - epsilon / mean)
        return float(norm.cdf(mean / 2 - epsilon / mean) - more)

    exact = brentq(lambda epsilon: delta(epsilon) - _DELTA, 1e-9, 60.0)

    assert exact * (1 - 1e-6) <= epsilon_of([Releases(1.0, z, steps)], _DELTA) <= 1.01 * exact


def test_what_is_spent_adds_up_whatever_the_order_and_however_it_is_divided() -> None:
    first, second = Releases(0.01, 1.5, 200), Releases(0.02, 3.0, 100)
    halves = [Releases(0.01, 1.5, 100), second, Releases(0.01, 1.5, 100)]

    both = epsilon_of([first, second], _DELTA)

    assert both == epsilon_of(halves, _DELTA)
    assert both > max(epsilon_of([first], _DELTA), epsilon_of([second], _DELTA))


def test_nothing_spent_is_zero_and_no_noise_is_infinite() -> None:
    assert epsilon_of([], _DELTA) == 0.0
    assert epsilon_of([Releases(0.1, 1.0, 0)], _DELTA) == 0.0
    assert epsilon_of([Releases(0.1, 0.0, 1)], _DELTA) == math.inf


@pytest.mark.parametrize("spent", [[], [Releases(0.05, 2.0, 50)]])
def test_the_noise_for_an_epsilon_spends_that_and_no_more(spent: list[Releases]) -> None:
    noise = noise_multiplier_for(2.0, _DELTA, sampling_rate=0.02, steps=300, spent=spent)

    reached = epsilon_of([*spent, Releases(0.02, noise, 300)], _DELTA)

    assert 0.98 * 2.0 < reached <= 2.0


def test_a_budget_that_is_spent_leaves_nothing() -> None:
    with pytest.raises(BudgetSpentError, match=r"epsilon 0\.5 at delta 1e-05"):
        noise_multiplier_for(0.5, _DELTA, sampling_rate=0.02, steps=1, spent=[Releases(0.05, 1.0, 50)])
