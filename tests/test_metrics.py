import itertools
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.evaluation import DomainScores
from huscf_flwr.metrics import Metric, metric_named, metrics_named, metrics_shown, register

KNOWN = [metric.name for metric in metrics_named([*DomainScores().as_dict(), "ari", "silhouette", "weight"])]


def test_every_score_of_a_domain_is_registered_with_its_better_way():
    lower = {"fid", "inception_fid", "tstr_fpr"}
    of_the_instrument = {"judge_accuracy"}
    for name in DomainScores(inception_fid=1.0).as_dict():
        better = None if name in of_the_instrument else "lower" if name in lower else "higher"
        assert metric_named(name).better == better, name


def test_a_strangers_number_has_its_own_name():
    assert metric_named("mean_roundness") == Metric("mean_roundness", "mean roundness")
    assert metric_named("mean_roundness").heading == "Mean roundness"


def test_an_author_may_register_what_is_known_of_a_number():
    mine = Metric(f"roundness-{uuid.uuid4().hex}", "roundness", "higher", 1, (0, 1))
    assert register(mine) is mine
    assert register(mine) is mine, "a module may be imported twice"
    assert metric_named(mine.name) is mine
    with pytest.raises(ValueError, match=r"the metric roundness-\w+ is registered already, as 'roundness'"):
        register(Metric(mine.name, "another"))


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("rounds", ["accuracy", "label_fidelity"]),
        ("costs", ["accuracy", "tstr_accuracy"]),
        ("audits", ["label_fidelity", "tstr_accuracy"]),
    ],
)
def test_where_few_numbers_must_do_each_kind_of_method_has_one_or_two(place, names):
    assert [metric.name for metric in metrics_shown(place)] == names


@given(st.lists(st.sampled_from([*KNOWN, "a_stranger", "b_stranger"])))
def test_each_is_found_once_the_registered_first_and_in_their_order(names):
    found = [metric.name for metric in metrics_named(names)]
    assert sorted(found) == sorted(set(names))
    places = [KNOWN.index(name) if name in KNOWN else len(KNOWN) for name in found]
    assert all(earlier <= later for earlier, later in itertools.pairwise(places))
    strangers = [name for name in found if name not in KNOWN]
    assert strangers == [name for name in dict.fromkeys(names) if name not in KNOWN]


@pytest.mark.parametrize(
    ("better", "reached"),
    [("higher", [False, True, True]), ("lower", [True, True, False]), (None, [False] * 3)],
)
def test_what_is_as_good_as_a_target_reaches_it(better, reached):
    metric = Metric("x", "x", better)
    assert [metric.reaches(value, 2.0) for value in (1.0, 2.0, 3.0)] == reached
