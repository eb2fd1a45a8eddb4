from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from huscf_flwr.data import (
    DataError,
    Partition,
    PartitionRules,
    Scenario,
    clients_per_domain,
    load_scenario,
    partition,
)
from huscf_flwr.data.partition import _top_up

AUTHORS = ("mnist", "fashion-mnist", "kmnist", "notmnist")
LABEL_RULES: list[dict[str, Any]] = [
    {"kind": "all"},
    {"kind": "excluded", "counts": [0, 2, 3, 4], "odds": [0.25, 0.3, 0.1, 0.1]},
    {"kind": "dirichlet", "alpha": 0.1, "minimum": 2},
]
SEEDS = st.integers(0, 2**40)


def scenario_of(names: tuple[str, ...], labels: dict[str, Any], **other: Any) -> Scenario:
    return Scenario.model_validate({"domains": names, "labels": labels, **other})


def balanced(samples: int, classes: int = 10) -> Tensor:
    return torch.arange(samples) % classes


def lacking(part: Partition, labels: dict[str, Tensor]) -> frozenset[int]:
    own = labels[part.domain]
    return frozenset(own.tolist()) - frozenset(own[part.indices].tolist())


@st.composite
def cases(draw: st.DrawFn) -> tuple[Scenario, dict[str, Tensor], int, int]:
    names = tuple(f"domain-{i}" for i in range(draw(st.integers(1, 4))))
    scenario = scenario_of(
        names,
        draw(st.sampled_from(LABEL_RULES)),
        sizes={"fractions": [0.2, 1.0], "odds": [1, 2]},
        cap_total=draw(st.sampled_from([None, 30, 600, 60_000])),
    )
    clients = draw(st.integers(len(names), 12))
    labels = {name: balanced(draw(st.integers(240, 400))) for name in names}
    return scenario, labels, clients, draw(SEEDS)


@settings(deadline=None)
@given(case=cases())
def test_all_clients_have_images_and_share_none(case):
    scenario, labels, clients, seed = case
    parts = partition(scenario, labels, clients=clients, seed=seed)
    assert [part.client for part in parts] == list(range(clients))
    counts = clients_per_domain(scenario.domain_names, clients)
    assert [part.domain for part in parts] == [name for name, count in counts.items() for _ in range(count)]
    for name in scenario.domain_names:
        held = np.concatenate([part.indices for part in parts if part.domain == name])
        assert len(np.unique(held)) == len(held)
        assert held.min() >= 0
        assert held.max() < len(labels[name])
    assert all(len(part.indices) > 0 and part.indices.dtype == np.int64 for part in parts)


@settings(deadline=None)
@given(case=cases())
def test_the_same_seed_deals_the_same(case):
    scenario, labels, clients, seed = case
    left, right = (partition(scenario, labels, clients=clients, seed=seed) for _ in range(2))
    for one, same in zip(left, right, strict=True):
        assert np.array_equal(one.indices, same.indices)


@pytest.mark.parametrize("rule", LABEL_RULES, ids=lambda rule: str(rule["kind"]))
def test_another_seed_deals_differently(rule):
    left, right = (
        partition(scenario_of(("a",), rule), {"a": balanced(400)}, clients=4, seed=seed) for seed in (1, 2)
    )
    for one, other in zip(left, right, strict=True):
        assert not np.array_equal(one.indices, other.indices)


@settings(deadline=None)
@given(case=cases())
def test_no_client_has_more_than_its_cap(case):
    scenario, labels, clients, seed = case
    if scenario.cap_total is not None:
        cap = max(1, scenario.cap_total // clients)
        parts = partition(scenario, labels, clients=clients, seed=seed)
        assert max(len(part.indices) for part in parts) <= cap


@given(clients=st.integers(1, 200), domains=st.integers(1, 6))
def test_clients_are_spread_evenly_the_first_take_the_remainder(clients, domains):
    names = [str(i) for i in range(domains)]
    if clients < domains:
        with pytest.raises(DataError, match=f"{clients} clients cannot cover {domains} domains"):
            clients_per_domain(names, clients)
        return
    counts = list(clients_per_domain(names, clients).values())
    assert sum(counts) == clients
    assert max(counts) - min(counts) <= 1
    assert counts == sorted(counts, reverse=True)


@settings(deadline=None, max_examples=30)
@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True), seed=SEEDS)
def test_each_client_lacks_as_many_labels_as_the_rule_allows(counts, seed):
    rule = {"kind": "excluded", "counts": counts, "odds": [1.0] * len(counts)}
    labels = {"a": balanced(4000)}
    parts = partition(scenario_of(("a",), rule), labels, clients=8, seed=seed)
    for part in parts:
        lacks = lacking(part, labels)
        assert len(lacks) in counts
        share, kept = 500, 500 - 50 * len(lacks)
        assert abs(len(part.indices) - kept) < 120 and len(part.indices) <= share


def test_counts_of_excluded_labels_follow_their_odds():
    """400 clients; odds 1/3, 0.4, 2/15, 2/15, each with a standard deviation below 2.5 %."""
    labels = {"mnist": balanced(80_000)}
    parts = partition(load_scenario("2"), labels, clients=400, seed=0)
    drawn = np.bincount([len(lacking(part, labels)) for part in parts], minlength=5) / 400
    assert drawn == pytest.approx([1 / 3, 0, 0.4, 2 / 15, 2 / 15], abs=0.08)


def test_sizes_of_scenario_four_with_eighty_clients():
    """60,000 per domain over 40 clients are 1,500 each; the cap is 60000 // 80 = 750, or 500.

    A client that lacks four labels still has about 900, so every client reaches its cap.
    """
    labels = {"mnist": balanced(60_000), "fashion-mnist": balanced(60_000)}
    parts = partition(load_scenario("4"), labels, clients=80, seed=3)
    sizes = [len(part.indices) for part in parts]
    assert set(sizes) == {500, 750}
    assert 0.15 <= sizes.count(500) / 80 <= 0.45


def test_sizes_of_scenario_five_with_eighty_clients():
    """750 in full, int(0.333333 * 750) = 249 for a third, int(0.1666667 * 750) = 125 for a sixth."""
    labels = {"mnist": balanced(60_000), "fashion-mnist": balanced(60_000)}
    parts = partition(load_scenario("5"), labels, clients=80, seed=3)
    assert {len(part.indices) for part in parts} == {125, 249, 750}
    assert {len(lacking(part, labels)) for part in parts} == {2, 3}


def test_scenario_six_uses_a_quarter_of_each_domain():
    labels = {name: balanced(60_000) for name in AUTHORS}
    parts = partition(load_scenario("6"), labels, clients=80, seed=0)
    assert {len(part.indices) for part in parts} == {750}


def test_fractions_apply_in_a_domain_smaller_than_the_cap():
    """7,000 over 4 clients are 1,750; the cap, 60000 // 4, is above that; two thirds are 1,166."""
    scenario = scenario_of(("a",), {"kind": "all"}, sizes={"fractions": [0.6666667, 1.0], "odds": [1, 1]})
    sizes = [
        len(part.indices)
        for seed in range(5)
        for part in partition(scenario, {"a": balanced(7000)}, clients=4, seed=seed)
    ]
    assert set(sizes) == {1166, 1750}


def test_without_cap_and_exclusions_all_images_are_dealt():
    scenario = scenario_of(("a",), {"kind": "all"}, cap_total=None)
    parts = partition(scenario, {"a": balanced(103)}, clients=10, seed=0)
    assert sorted(len(part.indices) for part in parts) == [10] * 7 + [11] * 3


@settings(deadline=None)
@given(clients=st.integers(2, 12), seed=SEEDS)
def test_in_the_demo_some_client_has_each_class(clients, seed):
    labels = {"digits": balanced(1437), "letters": balanced(2000)}
    parts = partition(load_scenario("demo"), labels, clients=clients, seed=seed)
    for name in labels:
        lacks = [lacking(part, labels) for part in parts if part.domain == name]
        assert not frozenset.intersection(*lacks)
        assert max(len(one) for one in lacks) <= 2


def test_a_class_that_no_client_can_keep_is_an_error():
    rule = {"kind": "excluded", "counts": [2], "odds": [1], "keep_every_class": True}
    with pytest.raises(DataError, match=r"keep_every_class.*use more clients"):
        partition(scenario_of(("a",), rule), {"a": balanced(50)}, clients=1, seed=0)


def test_a_client_keeps_at_least_one_class():
    rule = {"kind": "excluded", "counts": [3], "odds": [1]}
    with pytest.raises(DataError, match="cannot lack 3 of 3 classes"):
        partition(scenario_of(("a",), rule), {"a": balanced(60, classes=3)}, clients=2, seed=0)


def test_a_single_class_works():
    rule = {"kind": "excluded", "counts": [2], "odds": [1]}
    labels = {"a": balanced(60, classes=3)}
    for part in partition(scenario_of(("a",), rule), labels, clients=2, seed=0):
        assert len(lacking(part, labels)) == 2


def test_a_client_left_without_images_is_an_error():
    rule = {"kind": "excluded", "counts": [9], "odds": [1]}
    with pytest.raises(DataError, match=r"client \d+ of domain 'a' has no sample left"):
        partition(scenario_of(("a",), rule), {"a": balanced(20)}, clients=20, seed=0)


def imbalance(alpha: float) -> float:
    """Mean over clients of the share of a client's most common label."""
    rule = {"kind": "dirichlet", "alpha": alpha, "minimum": 10}
    labels = {"a": balanced(5000)}
    parts = partition(scenario_of(("a",), rule, cap_total=None), labels, clients=10, seed=0)
    assert sum(len(part.indices) for part in parts) == 5000
    counts = [np.bincount(labels["a"][part.indices], minlength=10) for part in parts]
    return float(np.mean([count.max() / count.sum() for count in counts]))


def test_a_small_alpha_gives_few_classes_and_a_large_one_all():
    assert imbalance(1e4) < 0.12
    assert 0.2 < imbalance(0.5) < 0.6
    assert imbalance(0.01) > 0.7


@settings(deadline=None)
@given(alpha=st.sampled_from([1e-3, 0.1, 10.0]), minimum=st.integers(1, 10), seed=SEEDS)
def test_no_client_is_below_the_minimum(alpha, minimum, seed):
    rule = {"kind": "dirichlet", "alpha": alpha, "minimum": minimum}
    scenario = scenario_of(("a",), rule, cap_total=None)
    parts = partition(scenario, {"a": balanced(100)}, clients=10, seed=seed)
    assert min(len(part.indices) for part in parts) >= minimum
    assert sum(len(part.indices) for part in parts) == 100


def topped_up_slowly(shares: list[list[int]], minimum: int) -> list[list[int]]:
    """As the rule says it: the first of the largest shares gives its last sample, again and again."""
    for poor in shares:
        while len(poor) < minimum:
            poor.append(max(shares, key=len).pop())
    return shares


@given(sizes=st.lists(st.integers(0, 12), min_size=1, max_size=12), minimum=st.integers(1, 12))
def test_the_poor_get_samples_from_the_largest_share(sizes, minimum):
    ends = np.cumsum(sizes)
    if ends[-1] < minimum * len(sizes):
        return
    shares = [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    expected = topped_up_slowly([share.tolist() for share in shares], minimum)
    assert [share.tolist() for share in _top_up(shares, minimum)] == expected


def test_a_minimum_beyond_the_data_is_an_error():
    rule = {"kind": "dirichlet", "alpha": 1, "minimum": 11}
    with pytest.raises(DataError, match=r"labels\.minimum.*need 110, but the domain has 100"):
        partition(scenario_of(("a",), rule), {"a": balanced(100)}, clients=10, seed=0)


def test_more_clients_than_samples_is_an_error():
    for count, said in (
        (5, "5 training samples for 6 clients: give it at most 5 clients"),
        (1, "1 training sample for 6 clients: give it at most 1 client$"),
    ):
        with pytest.raises(DataError, match=said):
            partition(scenario_of(("a",), {"kind": "all"}), {"a": balanced(count)}, clients=6, seed=0)


def test_a_domain_without_labels_suggests_the_nearest():
    with pytest.raises(DataError, match=r"'digits' .did you mean 'digit'"):
        partition(load_scenario("demo"), {"digit": balanced(50)}, clients=2, seed=0)


def four_domains(rules: PartitionRules, seed: int = 1) -> tuple[Partition, ...]:
    """Scenario 4's rules on the authors' four domains, 6 clients each, 200 samples per class."""
    scenario = load_scenario("4", domains=AUTHORS)
    labels = {name: balanced(12_000) for name in AUTHORS}
    return partition(scenario, labels, clients=24, seed=seed, rules=rules)


def exclusions(parts: tuple[Partition, ...]) -> list[frozenset[int]]:
    labels = {name: balanced(12_000) for name in AUTHORS}
    return [lacking(part, labels) for part in parts]


def test_the_authors_id_offset_loses_the_exclusions_of_the_third_and_fourth_domain():
    corrected = exclusions(four_domains(PartitionRules()))
    authors = exclusions(four_domains(PartitionRules(id_offset="authors")))
    assert authors[:12] == corrected[:12]
    assert any(corrected[12:18])
    assert any(corrected[18:])
    assert not any(authors[12:])


def test_the_authors_id_offset_gives_the_amounts_of_other_clients():
    """kmnist client i looks up 6 + i (a fashion-mnist client), notmnist client i looks up 12 + i."""
    iid_labels = {name: balanced(12_000) for name in AUTHORS}
    scenario = scenario_of(AUTHORS, {"kind": "all"}, sizes={"fractions": [0.5, 1.0], "odds": [1, 1]})
    corrected, authors = (
        [len(part.indices) for part in partition(scenario, iid_labels, clients=24, seed=2, rules=rules)]
        for rules in (PartitionRules(), PartitionRules(id_offset="authors"))
    )
    assert authors[:12] == corrected[:12]
    assert authors[12:18] == corrected[6:12]
    assert authors[18:] == corrected[12:18]
    assert authors != corrected


def test_the_authors_id_offset_is_right_by_chance_for_two_equal_domains():
    """Without fashion-mnist, kmnist's own number of clients equals mnist's."""
    scenario = load_scenario("4", domains=["mnist", "kmnist"])
    labels = {"mnist": balanced(2000), "kmnist": balanced(2000)}
    corrected, authors = (
        partition(scenario, labels, clients=8, seed=0, rules=rules)
        for rules in (PartitionRules(), PartitionRules(id_offset="authors"))
    )
    for left, right in zip(corrected, authors, strict=True):
        assert np.array_equal(left.indices, right.indices)


def test_an_amount_missing_in_the_authors_code_is_an_error():
    scenario = load_scenario("2", domains=["kmnist"])
    authors = PartitionRules(id_offset="authors", exclusion_pattern="authors")
    with pytest.raises(DataError, match=r"amount of client 0 .*under client 4"):
        partition(scenario, {"kmnist": balanced(400)}, clients=4, seed=0, rules=authors)


def test_the_authors_pattern_is_shared_by_all_domains_but_the_first():
    per_domain = exclusions(four_domains(PartitionRules()))
    shared = exclusions(four_domains(PartitionRules(exclusion_pattern="authors")))
    first, second, third, fourth = (shared[start : start + 6] for start in (0, 6, 12, 18))
    assert second == third == fourth
    assert first != second
    assert per_domain[6:12] != per_domain[12:18]


def test_whole_holders_are_dealt_and_other_domains_at_random():
    """Five holders of seven images each for two clients; the other domain says nothing of holders."""
    scenario = scenario_of(("voices", "plain"), {"kind": "holders"})
    labels = {"voices": balanced(35), "plain": balanced(40)}
    holders = torch.arange(35) % 5
    first, second, *others = partition(scenario, labels, clients=4, seed=0, holders={"voices": holders})
    assert [sorted(set(holders[part.indices].tolist())) for part in (first, second)] == [[0, 1, 2], [3, 4]]
    assert [len(part.indices) for part in (first, second)] == [21, 14]
    assert sorted(np.concatenate([part.indices for part in others]).tolist()) == list(range(40))


def test_holders_are_wanted_of_some_domain():
    scenario = scenario_of(("voices", "plain"), {"kind": "holders"})
    with pytest.raises(DataError, match=r"labels\.kind is holders, but no domain .*voices, plain.*by_holder"):
        partition(scenario, {"voices": balanced(30), "plain": balanced(30)}, clients=4, seed=0)


def test_holders_are_not_divided():
    scenario = scenario_of(("voices",), {"kind": "holders"})
    for holders, said in ((2, "2 holders for .*at most 2 clients$"), (1, "1 holder for .*at most 1 client$")):
        held = {"voices": torch.arange(30) % holders}
        with pytest.raises(DataError, match=said):
            partition(scenario, {"voices": balanced(30)}, clients=3, seed=0, holders=held)
