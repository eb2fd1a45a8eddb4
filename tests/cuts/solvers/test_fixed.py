from dataclasses import replace

import pytest

from huscf_flwr.cuts import SOLVERS, FixedCuts, NoLegalCutError, solver_named
from huscf_flwr.models import Cut
from tests.cuts.test_latency import paper_problem


def test_everybody_gets_the_cut():
    problem = paper_problem(9)
    solution = FixedCuts(Cut(2, 1, 2, 1)).solve(problem, seed=0)
    assert solution.cuts == (Cut(2, 1, 2, 1),) * 9
    assert solution.latency_s == problem.latency(solution.cuts)


def test_a_cut_outside_the_network_is_refused():
    with pytest.raises(ValueError, match="generator_tail keeps 3 blocks"):
        FixedCuts(Cut(1, 3, 1, 1)).solve(paper_problem(2), seed=0)


def test_a_cut_that_the_limits_forbid_is_refused():
    plain = paper_problem(1)
    device = plain.devices[0].model_copy(update={"least_discriminator_head": 2})
    with pytest.raises(NoLegalCutError, match=r"device d1: its limits forbid the fixed cut \(1, 1, 1, 1\)"):
        FixedCuts().solve(replace(plain, devices=(device,)), seed=0)
    with pytest.raises(NoLegalCutError, match="forbid the fixed cut"):
        FixedCuts().check(replace(plain, devices=(device,)))


def test_solvers_have_the_names_they_are_found_by():
    assert [solver_named(name).name for name in SOLVERS] == list(SOLVERS)


def test_an_unknown_solver_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'gready' is unknown.*did you mean 'greedy'"):
        solver_named("gready")
