import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.comparison.plan import merged, plan_comparison
from huscf_flwr.conf_files import ConfError, known_confs
from tests.comparison.builders import CONTENT, plan_of
from tests.data.formats.writing import some, write_npz

SETTINGS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | st.integers(), max_size=3),
    max_leaves=6,
)


def leaves(settings, prefix=()):
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


@given(SETTINGS, SETTINGS)
def test_every_setting_of_the_last_is_kept(first, last):
    together = dict(leaves(merged(first, last)))
    assert {path: value for path, value in leaves(last) if value != {}}.items() <= together.items()
    assert merged(first, {}) == first
    assert merged(first, first) == first


def test_sections_are_merged_and_values_replaced():
    assert merged({"a": {"b": 1, "c": 2}, "d": [1, 2]}, {"a": {"c": 3}, "d": [4]}) == {
        "a": {"b": 1, "c": 3},
        "d": [4],
    }


def test_a_run_for_each_seed_scenario_and_column_seeds_first(tmp_path):
    plan = plan_of(tmp_path)
    assert [(run.seed, run.scenario, run.column) for run in plan.runs] == [
        (seed, scenario, column)
        for seed in (0, 1, 4)
        for scenario in ("both", "one")
        for column in ("parted", "averaged")
    ]
    assert len({run.config.folder for run in plan.runs}) == len(plan.runs)
    assert plan.runs[0].config.folder == tmp_path / "runs" / "small" / "both" / "parted-seed-0"


def test_a_column_goes_before_its_scenario_and_that_before_what_is_common(tmp_path):
    content = {**CONTENT, "common": {"rounds": 1, "clients": 5, "batch_size": 9}}
    content["scenarios"] = {"both": {"clients": 6, "batch_size": 8}}
    content["methods"] = {"averaged": {"method": "fedgan", "batch_size": 7}}
    run, *_ = plan_of(tmp_path, content).runs
    assert (run.config.rounds, run.config.clients, run.config.batch_size) == (1, 6, 7)
    assert run.config.method == "fedgan"


def test_what_decides_nothing_may_be_overridden(tmp_path):
    plan = plan_of(tmp_path, overrides=["compute.threads=3"])
    assert {run.config.compute.threads for run in plan.runs} == {3}


def test_networks_have_the_classes_of_the_images_so_that_a_kept_run_is_known_again(tmp_path):
    write_npz(tmp_path / "own.npz", train=some(9, classes=3))
    content = {**CONTENT, "scenarios": {"mine": {"data": {"domains": ["own"]}}}}
    followed, unseen = (
        plan_of(tmp_path, content, overrides=[f"data.root={root}"]).runs[0].config.model.classes
        for root in (tmp_path, tmp_path / "runs")
    )
    assert (followed, unseen) == (3, None)


@pytest.mark.parametrize("override", ["rounds=1", "seed=7", "name=mine", "resume=/tmp/x", "data.scenario=1"])
def test_an_override_that_would_make_other_runs_is_an_error(tmp_path, override):
    with pytest.raises(ConfError) as error:
        plan_of(tmp_path, overrides=[override])
    assert f"--set {override}: that would make other runs" in str(error.value)


def test_a_file_that_is_called_like_one_of_ours_is_an_error(tmp_path):
    with pytest.raises(ConfError, match="give yours another name"):
        plan_of(tmp_path, name="demo")


def test_only_what_is_asked_for(tmp_path):
    plan = plan_of(tmp_path)
    asked = plan.asked(methods=["averaged"], scenarios=["one"], seeds=2)
    assert [run.name for run in asked.runs] == ["one/averaged-seed-0", "one/averaged-seed-1"]
    assert plan.asked() == plan


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"methods": ["avraged"]}, "--methods names 'avraged' (did you mean 'averaged'?)"),
        ({"scenarios": ["all"]}, "--only names 'all'"),
        ({"seeds": 4}, "--seeds is 4"),
        ({"seeds": 0}, "--seeds is 0"),
    ],
)
def test_what_the_comparison_does_not_have_is_an_error(tmp_path, asked, words):
    with pytest.raises(ConfError) as error:
        plan_of(tmp_path).asked(**asked)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": [1, 1]}, "such as [0, 1, 2]"),
        ({"seeds": []}, "such as [0, 1, 2]"),
        ({"seeds": 2}, "such as [0, 1, 2]"),
        ({"scenarios": ["demo"]}, "such as {mine: {method: fedgan}}"),
        ({"methods": None}, "such as {mine: {method: fedgan}}"),
        ({"common": {"seed": 3}}, "'seed' is set"),
        ({"reference": "parsed"}, "did you mean 'parted'"),
        ({"methods": {}}, "methods"),
        ({"methods": {"a/b": {}}}, "'a/b' cannot be the name of a folder"),
        ({"methods": {"one": {"method": "fedgann"}}}, "one in both: 'method' is 'fedgann' (did you mean"),
        ({"common": {"roundz": 3}}, "did you mean 'rounds'"),
        ({"common": {"hflgan": {"clusters": 2}}}, "common has a section 'hflgan', but what is read there is"),
        ({"targets": {"label_fidelty": 0.8}}, "(did you mean 'label_fidelity'?), which is no score"),
        ({"targets": {"ari": 0.8}}, "targets names 'ari', which is no score of a domain"),
        ({"targets": {"tstr_recall": 0.8}}, "targets names 'tstr_recall'"),
        (
            {"targets": {"label_fidelity": 80}},
            "targets.label_fidelity is 80, and label fidelity is from 0 to 1",
        ),
        ({"targets": {"fid": -1}}, "targets.fid is -1, and FID is at least 0"),
        ({"targets": {"judge": "well"}}, "targets.judge"),
        ({"scenarios": {"both": {"mdgan": {}}}}, "scenarios.both has a section 'mdgan'"),
        (
            {"methods": {"a": {"method": "fedgan", "huscf": {"beta": 1}}, "b": {"method": "huscf"}}},
            "methods.a has a section 'huscf', but what is read there is only fedgan: remove it",
        ),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(tmp_path, change, words):
    with pytest.raises(ConfError) as error:
        plan_of(tmp_path, {**CONTENT, **change})
    assert words in str(error.value)


def test_what_is_common_may_be_read_by_some_columns_only(tmp_path):
    plan = plan_of(tmp_path, {**CONTENT, "common": {"huscf": {"beta": 1}, "fedgan": {}}})
    assert {tuple(run.config.sections) for run in plan.runs} == {("huscf",), ("fedgan",)}


@pytest.mark.parametrize("order", [["split", "whole"], ["whole", "split"]])
def test_a_section_that_some_scenarios_read_may_stand_in_a_column(tmp_path, order):
    """Here the scenario names the method."""
    scenarios = {"split": {"method": "huscf"}, "whole": {"method": "fedgan"}}
    content = {**CONTENT, "scenarios": {name: scenarios[name] for name in order}}
    content["methods"] = {"plain": {}, "beta": {"huscf": {"beta": 1}}}
    assert len(plan_of(tmp_path, content).runs) == 2 * 2 * 3
    content["scenarios"]["whole"]["huscf"] = {"beta": 1}
    with pytest.raises(ConfError, match=r"scenarios.whole has a section 'huscf'.* only fedgan"):
        plan_of(tmp_path, content)


def test_the_first_method_is_the_reference_if_none_is_named(tmp_path):
    assert plan_of(tmp_path).comparison.told_against == "parted"


@pytest.mark.parametrize("name", known_confs("comparisons"))
def test_ours_are_valid(name):
    assert plan_comparison(name).runs


def test_the_documents_name_ours():
    page = Path(__file__).resolve().parents[2] / "docs" / "comparison.md"
    named = re.findall(r"^\| `([a-z-]+)` \|", page.read_text("utf-8").partition("```")[0], re.MULTILINE)
    assert sorted(named) == sorted(known_confs("comparisons"))
