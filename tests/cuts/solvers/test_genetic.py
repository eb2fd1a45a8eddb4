from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from huscf_flwr.cuts import ExactSolver, GeneticSearch, LatencyOptions
from tests.cuts.instances import problems
from tests.cuts.test_latency import paper_problem

QUICK = GeneticSearch(population=40, generations=30)


@pytest.mark.slow
@pytest.mark.parametrize("clients", [80, 100])
def test_default_settings_come_within_three_percent_over_ten_seeds(clients):
    problem = paper_problem(clients)
    optimum_s = ExactSolver().solve(problem, seed=0).latency_s
    found = [GeneticSearch().solve(problem, seed=seed).latency_s for seed in range(10)]
    assert max(found) <= 1.03 * optimum_s
    assert min(found) >= optimum_s * (1 - 1e-9)


@settings(deadline=None, max_examples=25)
@given(problems(most_clients=5))
def test_finds_a_legal_assignment_no_better_than_the_optimum(problem):
    solution = QUICK.solve(problem, seed=3)
    assert len(solution.cuts) == len(problem.devices)
    assert set(solution.cuts) <= set(problem.cuts)
    assert solution.gap is None
    assert solution.latency_s == pytest.approx(problem.latency(solution.cuts))
    assert solution.latency_s >= ExactSolver().solve(problem, seed=0).latency_s * (1 - 1e-9)


def test_small_problems_are_solved_to_the_optimum():
    problem = paper_problem(7)
    optimum_s = ExactSolver().solve(problem, seed=0).latency_s
    assert QUICK.solve(problem, seed=0).latency_s == pytest.approx(optimum_s)


def test_the_seed_decides_everything():
    problem = paper_problem(20)
    rough = GeneticSearch(population=20, generations=5)
    first, again, other = (rough.solve(problem, seed=seed) for seed in (1, 1, 2))
    assert first.cuts == again.cuts
    assert first.cuts != other.cuts


def test_limits_are_respected():
    plain = paper_problem(14)
    needs = plain.demands.memory_mib
    limit = float(np.median(needs))
    devices = tuple(device.model_copy(update={"memory_mib": limit}) for device in plain.devices)
    problem = replace(plain, devices=devices)
    for cut in QUICK.solve(problem, seed=0).cuts:
        assert needs[problem.cuts.index(cut)] <= limit


def test_a_cost_of_segments_is_taken_into_account():
    problem = paper_problem(14, options=LatencyOptions(steps_per_round=1))
    cheap = QUICK.solve(problem, seed=0)
    dear = QUICK.solve(replace(problem, options=LatencyOptions()), seed=0)
    assert cheap.latency_s <= problem.latency(dear.cuts) * 1.001


def test_clients_of_one_gene_have_one_cut():
    problem = paper_problem(28)
    cuts = GeneticSearch(population=20, generations=3, clients_per_gene=4).solve(problem, seed=0).cuts
    for first in range(7):
        assert len({cuts[client] for client in range(first, 28, 7)}) == 1


def test_more_generations_never_lose_the_best():
    problem = paper_problem(40)
    found = [
        GeneticSearch(population=30, generations=count, elites=0).solve(problem, seed=5).latency_s
        for count in (1, 5, 20)
    ]
    assert found == sorted(found, reverse=True)


def test_patience_ends_the_search():
    problem = paper_problem(7)
    short = replace(QUICK, generations=10_000_000, patience=3).solve(problem, seed=0)
    assert short.latency_s < problem.latency([problem.cuts[0]] * 7)


def test_the_published_settings():
    published = GeneticSearch.as_published()
    assert (published.population, published.generations, published.tournament) == (1000, 1000, 5)
    assert (published.crossover, published.mutation) == (0.7, 0.01)
    assert (published.elites, published.clients_per_gene, published.patience) == (0, 4, None)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("population", 1),
        ("generations", 0),
        ("patience", 0),
        ("tournament", 0),
        ("crossover", 1.1),
        ("mutation", -0.1),
        ("elites", 1000),
        ("clients_per_gene", 0),
    ],
)
def test_a_setting_outside_its_range_is_named(setting, value):
    with pytest.raises(ValueError, match=f"genetic search: {setting} is {value}"):
        GeneticSearch(**{setting: value})
