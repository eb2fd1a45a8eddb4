from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huscf_flwr.cuts import (
    CutProblem,
    Device,
    ExactSolver,
    FixedCuts,
    GreedySearch,
    LatencyOptions,
    deal,
    load_devices,
)
from huscf_flwr.cuts.solvers.bottleneck import best_depths
from huscf_flwr.models import load_model_spec
from tests.cuts.instances import least_latency, problems
from tests.cuts.test_latency import paper_problem

SMALL = problems(most_clients=5, most_assignments=20_000)


@st.composite
def coupled_problems(draw):
    """Small problems whose devices have limits of memory, or whose segments cross once a round, or both."""
    problem = draw(SMALL)
    if draw(st.booleans()):
        problem = replace(problem, options=LatencyOptions(steps_per_round=draw(st.integers(1, 50))))
    needs = np.sort(problem.demands.memory_mib)
    if draw(st.booleans()):
        limit = {device: float(needs[draw(st.integers(0, len(needs) - 1))]) for device in problem.classes}
        limited = tuple(device.model_copy(update={"memory_mib": limit[device]}) for device in problem.devices)
        problem = replace(problem, devices=limited)
    return problem


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(SMALL)
def test_equals_brute_force(problem):
    solution = ExactSolver().solve(problem, seed=0)
    assert solution.gap == 0
    assert solution.latency_s == pytest.approx(least_latency(problem), rel=1e-9)
    assert problem.latency(solution.cuts) == solution.latency_s


@pytest.mark.slow
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(coupled_problems())
def test_equals_brute_force_within_the_gap_if_parts_are_coupled(problem):
    solver = ExactSolver(target_gap=1e-6)
    solution = solver.solve(problem, seed=0)
    least_s = least_latency(problem)
    assert solution.gap is not None
    assert solution.gap <= 1e-5
    assert solution.latency_s == pytest.approx(least_s, rel=2e-5)
    for index, cut in zip(problem.class_of_client, solution.cuts, strict=True):
        assert problem.allowed[index, problem.cuts.index(cut)]


@pytest.mark.parametrize(("clients", "optimum_s"), [(80, 7.0025), (100, 8.1405)])
def test_proves_the_optimum_of_the_papers_setting(clients, optimum_s):
    solution = ExactSolver().solve(paper_problem(clients), seed=0)
    assert solution.gap == 0
    assert solution.latency_s == pytest.approx(optimum_s, abs=5e-5)


def random_devices(count):
    stream = np.random.default_rng(5)
    return [
        Device(
            name=f"profile {index}",
            gflops=float(np.exp(stream.uniform(-1, 5))),
            mbit_per_s=float(np.exp(stream.uniform(3, 9))),
        )
        for index in range(count)
    ]


@pytest.mark.parametrize("model", ["authors-28", "colour-32"])
def test_proves_the_optimum_of_ten_thousand_clients_with_a_thousand_profiles(model):
    devices = deal(random_devices(1000), 10_000)
    problem = CutProblem(load_model_spec(model), devices, load_devices("paper").server, 64, "paper")
    solution = ExactSolver().solve(problem, seed=0)
    assert solution.gap == 0
    assert solution.latency_s < FixedCuts().solve(problem, seed=0).latency_s


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_proves_a_gap_below_one_percent_if_memory_couples_the_parts(share):
    plain = paper_problem(100)
    least, most = plain.demands.memory_mib.min(), plain.demands.memory_mib.max()
    limit = float(least + share * (most - least))
    devices = tuple(device.model_copy(update={"memory_mib": limit}) for device in plain.devices)
    problem = replace(plain, devices=devices)
    assert not problem.parts_are_independent
    solution = ExactSolver().solve(problem, seed=0)
    assert solution.gap is not None
    assert solution.gap <= 0.01


def test_without_time_for_the_programme_the_gap_is_still_proven():
    plain = paper_problem(20, options=LatencyOptions(steps_per_round=1))
    solution = ExactSolver(time_limit_s=1e-9).solve(plain, seed=0)
    optimum_s = ExactSolver(target_gap=1e-6).solve(plain, seed=0).latency_s
    assert solution.gap is not None
    assert solution.latency_s * (1 - solution.gap) <= optimum_s * (1 + 1e-9)


def test_clients_of_one_class_may_get_different_cuts():
    """Two equal clients whose memory holds either of two blocks: the server is left with the fewest."""
    problem = next(_problems_that_split_a_class())
    cuts = ExactSolver(target_gap=1e-6).solve(problem, seed=0).cuts
    greedy = GreedySearch().solve(problem, seed=0)
    assert len(set(cuts)) > 1
    assert problem.latency(cuts) < greedy.latency_s


def _problems_that_split_a_class():
    spec = load_model_spec("authors-28")
    server = load_devices("paper").server
    for gflops in (5.0, 10.0, 20.0, 40.0, 80.0):
        for clients in (20, 40, 60, 80):
            for memory_mib in (63.0, 80.0, 90.0, 100.0):
                device = Device(name="equal", gflops=gflops, mbit_per_s=8000, memory_mib=memory_mib)
                problem = CutProblem(spec, (device,) * clients, server, 64, "exact")
                if len(set(ExactSolver(target_gap=1e-6).solve(problem, seed=0).cuts)) > 1:
                    yield problem


@settings(deadline=None, max_examples=40)
@given(SMALL)
def test_each_part_alone_is_solved_to_its_bound(problem):
    for part, times in enumerate(problem.class_model.parts):
        best = best_depths(times, problem.class_sizes, problem.allowed_depths[part])
        found = problem.class_model.stage_seconds(part, best.depths[None]).sum()
        assert best.seconds == pytest.approx(found, rel=1e-12)
        assert best.bound_s == pytest.approx(best.seconds, rel=1e-9)
