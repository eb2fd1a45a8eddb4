from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.cuts import ExactSolver, GreedySearch
from tests.cuts.instances import problems
from tests.cuts.test_latency import paper_problem


@settings(deadline=None, max_examples=40)
@given(problems(most_clients=5))
def test_no_change_of_one_class_or_two_makes_the_step_shorter(problem):
    by_class = GreedySearch().by_class(problem)
    found_s = problem.class_model.latency(problem.cut_table[by_class][None])[0]
    classes = range(len(problem.classes))
    for group in [*combinations(classes, 1), *combinations(classes, 2)]:
        for index in np.ndindex(*(len(problem.cuts),) * len(group)):
            changed = by_class.copy()
            changed[list(group)] = index
            assert problem.class_model.latency(problem.cut_table[changed][None])[0] >= found_s * (1 - 1e-9)


@pytest.mark.parametrize("clients", [40, 80, 100])
def test_finds_the_optimum_of_the_papers_setting(clients):
    problem = paper_problem(clients)
    found = GreedySearch().solve(problem, seed=0)
    assert found.gap is None
    assert found.latency_s == pytest.approx(ExactSolver().solve(problem, seed=0).latency_s)


def test_clients_of_one_class_have_one_cut():
    cuts = GreedySearch().solve(paper_problem(21), seed=0).cuts
    assert cuts[:7] == cuts[7:14] == cuts[14:]


@given(order=st.permutations(range(20)))
@settings(max_examples=10)
def test_a_client_keeps_its_cut_wherever_it_stands_among_the_others(order):
    plain = paper_problem(20)
    moved = replace(plain, devices=tuple(plain.devices[place] for place in order))
    cuts, moved_cuts = (GreedySearch().solve(problem, seed=0).cuts for problem in (plain, moved))
    assert moved_cuts == tuple(cuts[place] for place in order)


def test_the_slowest_device_keeps_least():
    problem = paper_problem(20)
    cuts = GreedySearch().solve(problem, seed=0).cuts
    kept = {device.name: sum(cut) for device, cut in zip(problem.devices, cuts, strict=True)}
    assert kept["d1"] == min(kept.values()) < kept["d3"]


def test_limits_are_respected_from_the_start():
    plain = paper_problem(7)
    limited = tuple(device.model_copy(update={"least_discriminator_head": 2}) for device in plain.devices)
    cuts = GreedySearch().solve(replace(plain, devices=limited), seed=0).cuts
    assert {cut.discriminator_head for cut in cuts} == {2}


def test_without_pairs_it_still_improves_on_the_lightest_cuts():
    problem = paper_problem(40)
    alone = GreedySearch(paired_classes=0).solve(problem, seed=0).latency_s
    assert GreedySearch().solve(problem, seed=0).latency_s <= alone < problem.latency([problem.cuts[0]] * 40)
