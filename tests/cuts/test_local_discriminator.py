"""Cuts of clients that keep the whole discriminator: the generator's are chosen, the rest is the client's."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from huscf_flwr.cuts import (
    CutProblem,
    Device,
    DiscriminatorWork,
    ExactSolver,
    FixedCuts,
    GeneticSearch,
    GreedySearch,
    LatencyOptions,
    NoLegalCutError,
    Server,
    priced_cuts,
)
from huscf_flwr.cuts.comparison import compare
from huscf_flwr.models import Cut, load_model_spec
from tests.cuts.instances import least_latency, problems

SPEC = load_model_spec("authors-28")
DEVICE = Device(name="one", gflops=2, mbit_per_s=80, download_mbit_per_s=160)
LIGHTEST = Cut(1, 1, 5, 0)
PRIVATE = DiscriminatorWork(learning=5, waiting=1, kept_gradients=10)


def problem_of(*devices, **settings):
    server = Server(gflops=50, mbit_per_s=1000)
    return CutProblem(SPEC, devices or (DEVICE,), server, 32, local_discriminator=True, **settings)


def test_a_step_of_one_client_worked_by_hand():
    """All of the discriminator's arithmetic is the client's, and only the generator's four tensors cross."""
    problem = problem_of()
    generator, discriminator = problem.costs.generator, problem.costs.discriminator
    kept, body = [0, 4], [1, 2, 3]
    client = generator.client_forward_gflop + generator.client_backward_gflop
    server = generator.server_forward_gflop + generator.server_backward_gflop
    crossing = generator.forward_bytes[0] + generator.forward_bytes[3]
    expected = (client[kept].sum() + discriminator.total_gflop()) / 2 + server[body].sum() / 50
    expected += crossing * (1 / 10e6 + 1 / 20e6)
    assert problem.latency([LIGHTEST]) == pytest.approx(expected)
    assert sum(stage.seconds for stage in problem.model.stages([LIGHTEST])) == pytest.approx(expected)
    price = priced_cuts([LIGHTEST], problem)
    assert price.client_gflop == pytest.approx(client[kept].sum() + discriminator.total_gflop())
    assert price.server_gflop == pytest.approx(server[body].sum())


def test_a_step_of_a_private_client_worked_by_hand():
    """Five learning passes in place of two, one frozen, and memory for ten gradients of all weights."""
    usual, private = (problem_of(**each).costs.discriminator for each in ({}, {"work": PRIVATE}))
    forward = usual.client_forward_gflop / 3
    np.testing.assert_allclose(private.client_forward_gflop, 6 * forward)
    np.testing.assert_allclose(private.client_backward_gflop, 5 * 2 * forward + forward)
    np.testing.assert_allclose(private.kept_bytes, usual.kept_bytes / 2 + 40 * usual.parameters)
    more = private.total_gflop() - usual.total_gflop()
    slower = problem_of(work=PRIVATE).latency([LIGHTEST]) - problem_of().latency([LIGHTEST])
    assert more == pytest.approx(9 * forward.sum())
    assert slower == pytest.approx(more / 2)


def test_what_criticises_in_place_of_a_discriminator_is_all_that_a_client_computes_of_one():
    work = DiscriminatorWork(learning=0, criticising=0, waiting=0, beside_gflop=3.0)
    costs = problem_of(work=work).costs
    assert costs.discriminator.total_gflop() == pytest.approx(3.0)
    assert not costs.discriminator.kept_bytes.any()
    assert costs.generator.total_gflop() == problem_of().costs.generator.total_gflop()


def test_stages_name_the_whole_discriminator_and_no_middle_of_it():
    names = [stage.name for stage in problem_of().model.stages([LIGHTEST])]
    assert names[6:] == ["whole discriminator forward", "whole discriminator backward"]
    assert not any("discriminator" in name for name in names[:6])


def test_limits_count_the_whole_discriminator():
    problem = problem_of()
    demands, costs = problem.demands, problem.costs
    trained = 16 * (costs.discriminator.parameters.sum() + costs.generator.parameters[[0, 4]].sum())
    kept = costs.discriminator.kept_bytes.sum() + costs.generator.kept_bytes[[0, 4]].sum()
    assert demands.memory_mib[0] == pytest.approx((trained + kept) / 2**20)
    crossing = 2 * (costs.generator.forward_bytes[0] + costs.generator.forward_bytes[3])
    assert demands.megabytes[0] == pytest.approx(crossing / 1e6)
    tight = DEVICE.model_copy(update={"memory_mib": demands.memory_mib[0] - 0.1})
    with pytest.raises(NoLegalCutError, match="no legal cut under memory_mib"):
        problem_of(tight).check()
    replace(problem_of(tight), local_discriminator=False).check()


@settings(max_examples=20, deadline=None)
@given(problems(most_clients=3, most_assignments=400))
def test_every_solver_finds_what_trying_all_generator_cuts_finds(problem):
    problem = replace(problem, local_discriminator=True)
    least = least_latency(problem)
    whole = (len(problem.spec.discriminator.blocks), 0)
    genetic = GeneticSearch(population=40, generations=30, clients_per_gene=1)
    for solver, exactly in ((ExactSolver(), True), (GreedySearch(), False), (genetic, False)):
        solution = solver.solve(problem, seed=0)
        assert {cut[2:] for cut in solution.cuts} == {whole}
        assert set(solution.cuts) <= set(problem.cuts)
        assert solution.latency_s >= least * (1 - 1e-9)
        assert not exactly or solution.latency_s <= least * (1 + 1e-9)


def test_cuts_that_limits_couple_are_solved_and_repaired_too():
    slow = DEVICE.model_copy(update={"name": "slow", "gflops": 0.5})
    problem = problem_of(DEVICE, slow, options=LatencyOptions(steps_per_round=3))
    least = least_latency(problem)
    assert ExactSolver().solve(problem, seed=0).latency_s == pytest.approx(least, rel=1e-3)
    memory = np.sort(problem.demands.memory_mib)[1]
    tight = problem_of(DEVICE, slow.model_copy(update={"memory_mib": memory}))
    found = GeneticSearch(population=40, generations=30).solve(tight, seed=0)
    assert all(tight.allowed[place, tight.cuts.index(cut)] for place, cut in enumerate(found.cuts))


def test_a_fixed_cut_must_be_of_the_placement():
    assert FixedCuts(LIGHTEST).solve(problem_of(), seed=0).cuts == (LIGHTEST,)
    with pytest.raises(ValueError, match=r"cut \(2, 1, 1, 1\): .* whole discriminator, so write 2,1,5,0"):
        FixedCuts(Cut(2, 1, 1, 1)).check(problem_of())
    with pytest.raises(
        ValueError, match=r"cut \(1, 1, 5, 0\) keeps the whole .* privacy.local_discriminator"
    ):
        FixedCuts(LIGHTEST).check(replace(problem_of(), local_discriminator=False))


def test_a_comparison_shows_both_placements():
    split = replace(problem_of(), local_discriminator=False)
    (line,) = [each for each in compare(split, None, [], seed=0) if each.name.startswith("whole")]
    assert line.latency_s == ExactSolver().solve(problem_of(), seed=0).latency_s
    assert not any(each.name.startswith("whole") for each in compare(problem_of(), None, [], seed=0))
