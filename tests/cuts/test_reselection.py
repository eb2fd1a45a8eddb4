from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.cuts import CutProblem, Device, ExactSolver, Server, reselect
from huscf_flwr.cuts.reselection import moving_seconds
from huscf_flwr.models import Cut, largest_cut, legal_cuts, load_model_spec

SPEC = load_model_spec("authors-28", 0.05)
LIGHT, HEAVY = Cut(), largest_cut(SPEC)
cut_lists = st.lists(st.sampled_from(legal_cuts(SPEC)), min_size=3, max_size=3)


def problem_of(*gflops, mbit_per_s=1.0):
    devices = tuple(Device(name=f"d{g}", gflops=g, mbit_per_s=mbit_per_s) for g in gflops)
    return CutProblem(SPEC, devices, Server(gflops=50, mbit_per_s=mbit_per_s), 8)


SLOW_AND_FAST = problem_of(0.001, 1.0, 1.0)


@dataclass
class Wanting:
    """A solver that has made up its mind."""

    cuts: tuple
    name: str = "wanting"

    def solve(self, problem, *, seed):
        return problem.solution(self.cuts, solver=self.name, started=0.0)


def decide(problem, cuts, solver=None, *, steps_left=10**6, least_gain=0.0):
    return reselect(
        problem, cuts, solver or ExactSolver(), steps_left=steps_left, least_gain=least_gain, seed=0
    )


@pytest.mark.slow
@given(cut_lists)
def test_new_cuts_are_almost_as_good_as_the_solvers(cuts):
    optimum = ExactSolver().solve(SLOW_AND_FAST, seed=0).latency_s
    decided = decide(SLOW_AND_FAST, cuts)
    if decided is None:
        assert SLOW_AND_FAST.latency(cuts) <= 1.01 * optimum
    else:
        assert decided.before_s == SLOW_AND_FAST.latency(cuts)
        assert decided.solution.latency_s <= 1.01 * optimum
        assert decided.solution.latency_s == SLOW_AND_FAST.latency(decided.solution.cuts)


@pytest.mark.slow
@given(cut_lists)
def test_nobody_moves_in_vain(cuts):
    """Putting any one client back makes the step longer than it may be."""
    optimum = ExactSolver().solve(SLOW_AND_FAST, seed=0).latency_s
    decided = decide(SLOW_AND_FAST, cuts)
    for client, cut in enumerate(cuts):
        if decided and decided.solution.cuts[client] != cut:
            back = list(decided.solution.cuts)
            back[client] = cut
            assert SLOW_AND_FAST.latency(back) > 1.01 * optimum


@pytest.mark.slow
@given(cut_lists)
def test_after_a_move_there_is_no_other(cuts):
    decided = decide(SLOW_AND_FAST, cuts)
    assert decided is None or decide(SLOW_AND_FAST, decided.solution.cuts, least_gain=0.01) is None


def test_the_gain_must_be_the_share_that_is_asked_for():
    cuts = [HEAVY] * 3
    decided = decide(SLOW_AND_FAST, cuts)
    share = 1 - decided.solution.latency_s / decided.before_s
    assert decide(SLOW_AND_FAST, cuts, least_gain=share * 0.999) is not None
    assert decide(SLOW_AND_FAST, cuts, least_gain=share * 1.001) is None


def test_the_gain_of_the_steps_left_must_exceed_the_cost():
    problem, cuts = problem_of(10.0, 10.0, 10.0), [LIGHT] * 3
    decided = decide(problem, cuts)
    steps = decided.cost_s / (decided.before_s - decided.solution.latency_s)
    assert steps > 0
    assert decide(problem, cuts, steps_left=int(steps) + 1) is not None
    assert decide(problem, cuts, steps_left=int(steps)) is None
    assert decide(problem, cuts, steps_left=0) is None


def test_cuts_that_make_the_step_longer_are_not_taken():
    assert decide(SLOW_AND_FAST, [LIGHT] * 3, Wanting((HEAVY,) * 3)) is None


def test_the_slowest_client_loads_weights_and_both_moments():
    """1 Mbit/s is 125,000 bytes a second."""
    problem = problem_of(1.0, 1.0)
    (taken,) = [problem.costs.generator.parameters[1]]
    assert moving_seconds(problem, [LIGHT, LIGHT], [LIGHT, Cut(2, 1, 1, 1)]) == pytest.approx(
        12 * taken / 125_000
    )


def test_what_is_given_up_costs_nothing():
    assert moving_seconds(problem_of(1.0), [HEAVY], [LIGHT]) == 0
