import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.comparison.curves import rounds_panel
from huscf_flwr.comparison.results import (
    Column,
    ScenarioResults,
    Values,
    best,
    results_of,
    verdict,
)
from huscf_flwr.comparison.run_scores import OWN_MODELS, own_model_scores
from huscf_flwr.methods import method_named
from huscf_flwr.metrics import metric_named
from tests.comparison.builders import CONTENT, kept_runs, plan_of

FIDELITY, FID = metric_named("label_fidelity"), metric_named("fid")
NUMBERS = st.lists(st.floats(0, 1), min_size=2, max_size=4)


def values(*numbers):
    return Values(dict(enumerate(numbers)))


def test_mean_range_and_pairs_by_hand():
    one, other = Values({0: 0.5, 1: 0.7}), Values({1: 0.6, 2: 0.9})
    assert (one.mean, one.least, one.most) == (pytest.approx(0.6), 0.5, 0.7)
    assert one.mean_difference(other) == pytest.approx(0.1)
    assert one.mean_difference(Values({9: 1.0})) is None


def test_only_ranges_that_do_not_touch_make_a_difference():
    assert verdict(values(0.8, 0.9), values(0.6, 0.7), FIDELITY) == "ahead"
    assert verdict(values(0.6, 0.7), values(0.8, 0.9), FIDELITY) == "behind"
    assert verdict(values(0.7, 0.9), values(0.6, 0.7), FIDELITY) == "level"
    assert verdict(values(8.0, 9.0), values(1.0, 2.0), FID) == "behind"


def test_one_seed_has_no_spread_and_tells_nothing():
    assert verdict(values(0.9), values(0.1, 0.2), FIDELITY) is None
    assert best({"a": values(0.9), "b": values(0.1)}, FIDELITY) == set()
    assert best({"a": values(0.9), "b": values(0.1, 0.2)}, FIDELITY) == {"b"}


def test_where_neither_way_is_better_there_is_no_verdict():
    assert verdict(values(1.0, 2.0), values(3.0, 4.0), metric_named("bodies")) is None


@given(NUMBERS, NUMBERS)
def test_one_is_ahead_if_the_other_is_behind(one, other):
    opposite = {"ahead": "behind", "behind": "ahead", "level": "level"}
    said = verdict(values(*one), values(*other), FIDELITY)
    assert verdict(values(*other), values(*one), FIDELITY) == opposite[said]
    assert verdict(values(*one), values(*one), FIDELITY) == "level"


def test_the_best_and_those_that_cannot_be_told_from_it():
    found = {"a": values(0.8, 0.9), "b": values(0.75, 0.82), "c": values(0.1, 0.2)}
    assert best(found, FIDELITY) == {"a", "b"}
    assert best(found, FID) == {"c"}
    assert best({}, FIDELITY) == set()


def test_results_are_put_together_from_what_is_kept(tmp_path):
    plan = plan_of(tmp_path)
    kept = kept_runs(
        tmp_path,
        plan,
        parted={0: {"fidelity": 0.9, "ari": 1.0}, 4: {"fidelity": 0.8, "ari": 0.5}},
        averaged={0: {"fidelity": 0.4}},
    )
    kept.keep_failure(plan.of("both", "averaged")[1], "no memory")
    both, one = results_of(plan, kept).scenarios
    parted, averaged = both.columns
    assert parted.domains["letters"]["label_fidelity"].by_seed == {0: 0.9, 4: 0.8}
    assert parted.clustering["ari"].mean == 0.75
    assert averaged.clustering == {}
    assert (averaged.learning_rates, averaged.failures) == ((0.001,), {1: "no memory"})
    assert both.domains == ["digits", "letters"]
    assert one.domains == ["digits"]
    assert [metric.name for metric in both.metrics("digits")] == ["label_fidelity", "tstr_accuracy", "fid"]
    assert [metric.name for metric in both.metrics("digits", ["fid", "score"])] == ["fid"]
    assert both.values("digits", "fid").keys() == {"parted", "averaged"}


def test_a_column_without_a_finished_run_is_there_with_nothing(tmp_path):
    plan = plan_of(tmp_path)
    both, _ = results_of(plan, kept_runs(tmp_path, plan)).scenarios
    assert [(column.domains, column.costs) for column in both.columns] == [({}, None), ({}, None)]
    assert both.domains == []


def test_what_is_stale_is_not_shown(tmp_path):
    plan = plan_of(tmp_path)
    kept = kept_runs(tmp_path, plan, parted={0: {}, 1: {}}, averaged={0: {}})
    content = {
        **CONTENT,
        "methods": {**CONTENT["methods"], "averaged": {"method": "fedgan", "batch_size": 9}},
    }
    both, _ = results_of(plan_of(tmp_path, content), kept, ["both/parted-seed-1"]).scenarios
    parted, averaged = both.columns
    assert parted.records.keys() == {0}
    assert averaged.records == {}


def test_with_one_domain_there_are_no_clusters_to_tell(tmp_path):
    plan = plan_of(tmp_path)
    both, one = results_of(plan, kept_runs(tmp_path, plan, parted={0: {"ari": 1.0}})).scenarios
    assert (both.has_clusters_to_tell, one.has_clusters_to_tell) == (True, False)


@pytest.mark.parametrize("method", ["fedproto", "fedtgp", "fedvtc", "ccvr", "fedtype"])
def test_every_way_to_classify_is_told_on_test_images_and_at_home(method):
    """Whatever accuracies may cross have columns, of which it is known that more is better."""
    listed = [
        name
        for name in method_named(method).crossing.scores
        if name.endswith("accuracy") and "tstr" not in name
    ]
    scores = {name: {"mean": 0.5 + place / 10, "worst": 0.1} for place, name in enumerate(listed)}
    found = own_model_scores({"test": scores, "held_out": scores})
    assert len(listed) == 2
    for name in listed:
        at_home = name.replace("accuracy", "held_out_accuracy")
        assert found[name] == found[at_home] == scores[name]["mean"]
        assert metric_named(name).better == metric_named(at_home).better == "higher"


OWN = {"test": (0.7, 0.4), "held_out": (0.9, 0.8)}


def scenario_of(*domains):
    """One column that knows an accuracy of each of its domains, and an F1 of all but own models."""
    accuracy, f1 = values(0.5), values(0.4)
    scores = {name: {"accuracy": accuracy} | ({} if name == OWN_MODELS else {"f1": f1}) for name in domains}
    return ScenarioResults("s", (Column("a", "local", {}, scores, {}, None, ()),))


@pytest.mark.parametrize(
    ("domains", "shown"),
    [
        (["digits"], ["accuracy", "f1"]),
        (["digits", OWN_MODELS], ["f1"]),
        (["digits", "letters", OWN_MODELS], ["accuracy", "f1"]),
    ],
)
def test_the_accuracy_of_one_domain_alone_is_told_among_own_models_only(domains, shown):
    scenario = scenario_of(*domains)
    assert [metric.name for metric in scenario.metrics("digits")] == shown
    asked = [metric.name for metric in scenario.metrics("digits", ["accuracy"])]
    assert asked == [name for name in shown if name == "accuracy"]
    if OWN_MODELS in domains:
        assert [metric.name for metric in scenario.metrics(OWN_MODELS)] == ["accuracy"]


def test_classifiers_that_stay_on_clients_stand_beside_the_domains(tmp_path):
    plan = plan_of(tmp_path)
    kept = kept_runs(tmp_path, plan, parted={0: {"own": OWN}, 1: {"own": OWN}}, averaged={0: {}})
    _, one = results_of(plan, kept).scenarios
    parted, averaged = one.columns
    assert one.domains == ["digits", OWN_MODELS]
    assert {name: found.mean for name, found in parted.domains[OWN_MODELS].items()} == {
        "accuracy": 0.7,
        "worst_accuracy": 0.4,
        "held_out_accuracy": 0.9,
        "worst_held_out_accuracy": 0.8,
    }
    assert OWN_MODELS not in averaged.domains
    assert not one.has_clusters_to_tell
    panel = rounds_panel(one, OWN_MODELS, metric_named("held_out_accuracy"))
    assert panel.series == {"parted": [(100.0, 0.9)], "averaged": []}
