"""Epsilon at a delta of the Poisson-sampled Gaussian mechanism, whose steps DP-SGD takes (arXiv 1607.00133).

Neighbours are two sets of images of which one has one image more; that covers two of equal size, of which
one has nothing in the place of an image. In each step an image takes part with the sampling rate, apart from
all others; of each that does, something of a norm of at most the clip goes into a sum, to which Gaussian
noise of the noise multiplier times the clip is added.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from huscf_flwr.accounting.releases import BudgetSpentError, Releases
from huscf_flwr.extras import extra

_PACKAGES = ("dp_accounting", "scipy")
_STEP_OF_LOSS = 1e-3
"""Width of the intervals of privacy loss; it is rounded up, so that a coarser one never claims too little."""
_TOLERANCE = 1e-3
"""Of the exponent, to the base two, of a noise multiplier that is searched for."""
_SMALLEST_EXPONENT, _LARGEST_EXPONENT = -3.0, 7.0
"""Between which it is searched for: less protects next to nothing, and with more nothing is learnt."""
_ALL = 0.99
"""Share of an epsilon from which on it counts as spent: what noise leaves of it is not worth a training."""

By = Literal["pld", "rdp"]


def check_accounting() -> None:
    """Raise ``MissingExtraError`` if what counts is not installed; it is not imported, which takes long."""
    with extra("privacy", "privacy.epsilon"):
        for package in _PACKAGES:
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(f"No module named '{package}'")


def epsilon_of(releases: Sequence[Releases], delta: float, by: By = "pld") -> float:
    """Return the epsilon at ``delta`` of all ``releases`` together; infinite if one had no noise.

    By privacy loss distributions (``pld``, arXiv 2207.04380), or by Rényi divergences (``rdp``,
    arXiv 1908.10530), which bound it less closely. Both hold for adding and for removing one image.
    """
    return _epsilon_of(_together(releases), delta, by)


def noise_multiplier_for(
    epsilon: float, delta: float, *, sampling_rate: float, steps: int, spent: Sequence[Releases] = ()
) -> float:
    """Return the least noise with which ``steps`` more steps end at no more than ``epsilon``.

    It is at most a thousandth too large, and never less than an eighth. Raises ``BudgetSpentError`` if less
    than a hundredth of ``epsilon`` is left, or noise of 128 times the clip would not do.
    """
    return _noise_multiplier_for(epsilon, delta, sampling_rate, steps, _together(spent))


def _together(releases: Sequence[Releases]) -> tuple[Releases, ...]:
    """Return the same, with what is alike counted together."""
    counts: dict[tuple[float, float], int] = {}
    for each in releases:
        kind = (each.sampling_rate, each.noise_multiplier)
        counts[kind] = counts.get(kind, 0) + each.steps
    return tuple(Releases(*kind, steps) for kind, steps in sorted(counts.items()) if steps)


@cache
def _epsilon_of(releases: tuple[Releases, ...], delta: float, by: By) -> float:
    if not releases:
        return 0.0
    if any(each.noise_multiplier == 0 for each in releases):
        return math.inf
    accountant = _accountant(by)
    for each in releases:
        accountant.compose(_event(each.sampling_rate, each.noise_multiplier), each.steps)
    return float(accountant.get_epsilon(delta))


@cache
def _noise_multiplier_for(
    epsilon: float, delta: float, sampling_rate: float, steps: int, spent: tuple[Releases, ...]
) -> float:
    with extra("privacy", "privacy.epsilon"):
        from scipy.optimize import brentq  # noqa: PLC0415 - a ClientApp starts without it

    before = _epsilon_of(spent, delta, "pld")
    if before > _ALL * epsilon:
        raise BudgetSpentError(f"of privacy.epsilon {epsilon:g} at delta {delta:g}, {before:.4g} is spent")

    def excess(exponent: float) -> float:
        """Return how far epsilon is above the wished one, both as logarithms: nearly a straight line."""
        more = Releases(sampling_rate, 2**exponent, steps)
        return math.log(_epsilon_of(_together([*spent, more]), delta, "pld") / epsilon)

    most, least = 0.0, 0.0
    while excess(most) > 0:
        if most >= _LARGEST_EXPONENT:
            raise BudgetSpentError(
                f"of privacy.epsilon {epsilon:g} at delta {delta:g}, {before:.4g} is spent: no noise is "
                f"large enough for {steps} more steps"
            )
        least, most = most, most + 1
    while excess(least) <= 0 and least > _SMALLEST_EXPONENT:
        least, most = least - 1, least
    if excess(least) <= 0:
        return float(2**least)
    found = brentq(excess, least, most, xtol=_TOLERANCE)
    while excess(found) > 0:
        found += _TOLERANCE
    return float(2**found)


def _accountant(by: By) -> Any:
    with extra("privacy", "privacy.epsilon"):
        from dp_accounting import NeighboringRelation, pld, rdp  # noqa: PLC0415 - slow

    neighbours = NeighboringRelation.ADD_OR_REMOVE_ONE
    if by == "rdp":
        return rdp.RdpAccountant(neighboring_relation=neighbours)
    return pld.PLDAccountant(neighbours, value_discretization_interval=_STEP_OF_LOSS)


def _event(sampling_rate: float, noise_multiplier: float) -> Any:
    with extra("privacy", "privacy.epsilon"):
        import dp_accounting  # noqa: PLC0415 - slow

    return dp_accounting.PoissonSampledDpEvent(sampling_rate, dp_accounting.GaussianDpEvent(noise_multiplier))
