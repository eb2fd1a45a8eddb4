import csv
import json
import re

import pytest
from rich.console import Console

from huscf_flwr.comparison.curves import bytes_panel
from huscf_flwr.comparison.files import write_results
from huscf_flwr.comparison.page import comparison_page, write_page
from huscf_flwr.comparison.results import results_of
from huscf_flwr.comparison.table import comparison_tables, legend
from huscf_flwr.metrics import metric_named
from tests.comparison.builders import CONTENT, kept_runs, plan_of

ALL = {
    "parted": {seed: {"fidelity": 0.9 + seed / 100, "ari": 1.0} for seed in (0, 1, 4)},
    "averaged": {seed: {"fidelity": 0.4 + seed / 100} for seed in (0, 1, 4)},
}


@pytest.fixture
def plan(tmp_path):
    return plan_of(tmp_path)


@pytest.fixture
def results(tmp_path, plan):
    return results_of(plan, kept_runs(tmp_path, plan, **ALL))


def printed(results, width=200):
    console = Console(width=width, record=True)
    for table in comparison_tables(results, width=width):
        console.print(table)
    return console.export_text()


def test_the_table_has_mean_range_and_how_each_does_beside_the_reference(results):
    text = printed(results)
    row = next(line for line in text.splitlines() if "averaged" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")][:5] == [
        "averaged", "3", "0.417 −", "0.317 −", "10.0 =",
    ]  # fmt: skip
    assert "0.400–0.440" in text
    assert "small, both: letters" in text
    assert "small, one: digits" in text
    assert "a model of one client" in text


@pytest.mark.slow
def test_bytes_until_a_target_is_reached(tmp_path):
    plan = plan_of(tmp_path, {**CONTENT, "targets": {"label_fidelity": 0.85, "tstr_accuracy": 0.5}})
    found = results_of(plan, kept_runs(tmp_path, plan, parted={0: {"fidelity": 0.9}, 1: {"fidelity": 0.8}}))
    text = printed(found)
    assert "fidelity 0.85" in " ".join(text.split())
    row = next(line for line in text.splitlines() if "parted" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")][-2:] == ["6.00 kB (1 of 2)", "6.00 kB"]
    assert any(sentence.startswith("Bytes to a score") for sentence in legend(found))
    assert "Bytes to label fidelity 0.85" in comparison_page(found)
    assert not any(sentence.startswith("Bytes to a score") for sentence in legend(found, ["fid"]))
    write_results(tmp_path, found)
    content = json.loads((tmp_path / "comparison.json").read_text())
    both = content["scenarios"]["both"]["methods"]
    assert both["parted"]["bytes_to_targets"]["digits"]["label_fidelity"] == {
        "mean": 6000.0,
        "by_seed": {"0": 6000.0, "1": None},
    }
    assert both["averaged"]["bytes_to_targets"] == {}
    assert "never" in printed(
        results_of(plan, kept_runs(tmp_path / "weak", plan, parted={4: {"fidelity": 0.1}}))
    )


@pytest.mark.slow
def test_bytes_to_what_a_weak_judge_says_are_marked_too(tmp_path):
    plan = plan_of(tmp_path, {**CONTENT, "targets": {"fid": 30, "tstr_accuracy": 0.5}})
    found = results_of(plan, kept_runs(tmp_path, plan, averaged={0: {"judge": 0.5}}))
    words = " ".join(comparison_page(found).split())
    assert "Bytes to FID? 30<" in words
    assert "Bytes to TSTR accuracy 0.5<" in words
    assert printed(found).count("FID?") == 2 * 3  # its column and that of bytes, in three tables of domains


def test_pooled_images_have_no_bytes_to_a_target_and_no_curve_over_bytes(tmp_path):
    content = {**CONTENT, "targets": {"label_fidelity": 0.3}, "methods": {"pooled": {"method": "central"}}}
    plan = plan_of(tmp_path, content)
    both, _ = results_of(plan, kept_runs(tmp_path, plan, pooled={0: {}})).scenarios
    assert both.columns[0].bytes_to_targets == {}
    assert bytes_panel(both, "digits", metric_named("label_fidelity")).series == {"pooled": []}


def test_a_run_of_which_a_score_is_not_known_is_not_said_to_miss_its_target(tmp_path):
    plan = plan_of(tmp_path, {**CONTENT, "targets": {"tstr_accuracy": 0.1}})
    kept = kept_runs(tmp_path, plan, averaged={0: {}, 1: {}})
    path = kept.folder / "one" / "averaged-seed-1" / "summary.json"
    summary = json.loads(path.read_text())
    summary["domains"]["digits"]["tstr_accuracy"] = None
    path.write_text(json.dumps(summary))
    _, one = results_of(plan, kept).scenarios
    averaged = next(column for column in one.columns if column.name == "averaged")
    assert averaged.bytes_to_targets["digits"]["tstr_accuracy"].by_seed.keys() == {0}


def test_a_score_that_was_asked_for_and_is_not_known_is_told(results):
    assert "Of silhouette nothing is known in any of these runs." in list(
        legend(results, ["silhouette", "fid"])
    )


def test_without_targets_nothing_is_said_of_bytes_to_them(results):
    assert "bytes to" not in printed(results)
    assert "Bytes to a score" not in comparison_page(results)


def test_before_any_run_is_finished_there_is_no_table(tmp_path, plan):
    results = results_of(plan, kept_runs(tmp_path, plan))
    assert not printed(results)
    assert list(legend(results)) == ["No run is finished yet."]


def test_what_a_weak_judge_says_is_marked_and_explained(tmp_path, plan):
    weak = {0: {"judge": 0.5}}
    found = results_of(plan, kept_runs(tmp_path, plan, averaged=weak))
    text = printed(found)
    assert "fidelity?" in text
    assert "FID?" in text
    assert "accuracy?" not in text
    assert any(sentence.startswith("A question mark") for sentence in legend(found))
    assert "by a weak judge" in comparison_page(found)


def test_what_a_good_judge_says_is_not_marked(tmp_path, plan):
    found = results_of(plan, kept_runs(tmp_path, plan, averaged={0: {"judge": 0.9}}))
    assert "?" not in printed(found)
    assert not any(sentence.startswith("A question mark") for sentence in legend(found))
    assert "by a weak judge" not in comparison_page(found)


@pytest.mark.slow
def test_memory_is_shown_where_it_was_measured(tmp_path, plan):
    measured = {0: {"memory": {"classify": 3_000_000, "tune": 4_500_000}}}
    found = results_of(plan, kept_runs(tmp_path, plan, averaged=measured))
    assert "tune 4.50 MB" in printed(found)
    page = comparison_page(found).replace("\xa0", " ")
    assert "Memory of a client" in page
    assert "classify 3.00 MB, tune 4.50 MB" in page


@pytest.mark.slow
def test_a_failed_run_and_a_missing_column_are_shown(tmp_path, plan):
    kept = kept_runs(tmp_path, plan, parted=ALL["parted"])
    kept.keep_failure(plan.of("both", "averaged")[0], "no <memory>")
    text = printed(results_of(plan, kept))
    assert "0, 1 failed" in text
    page = comparison_page(results_of(plan, kept))
    assert "1 failed" in page
    assert "no &lt;memory&gt;" in page
    assert "not made yet" in page
    assert "Memory of a client" not in page


def test_the_page_needs_nothing_but_itself(results, tmp_path):
    page = write_page(tmp_path, results).read_text()
    assert "Two methods &amp; two scenarios." in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert page.count("data:image/png") == 6  # two methods, two domains in one scenario and one in the other
    charts_of_domains, charts_of_clusters = 3 * 4, 1
    assert page.count("data:image/svg") == charts_of_domains + charts_of_clusters


@pytest.mark.slow
def test_the_page_says_who_is_best_and_by_how_much(results):
    page = comparison_page(results)
    assert 'class="best">0.917' in page
    assert 'class="best">0.417' not in page
    assert "behind, -0.500" in page


def test_nothing_kept_yet_is_a_page_too(tmp_path, plan):
    page = comparison_page(results_of(plan, kept_runs(tmp_path, plan)))
    assert "A comparison" in page


def test_json_and_csv_have_every_number(results, tmp_path):
    write_results(tmp_path, results)
    content = json.loads((tmp_path / "comparison.json").read_text())
    averaged = content["scenarios"]["both"]["methods"]["averaged"]
    found = averaged["domains"]["letters"]["label_fidelity"]
    assert found["by_seed"] == pytest.approx({"0": 0.4, "1": 0.41, "4": 0.44})
    assert found["beside_reference"] == "behind"
    assert found["difference_to_reference"] == pytest.approx(-0.5)
    assert content["scenarios"]["one"]["best"]["digits"]["label_fidelity"] == ["parted"]
    assert averaged["costs"]["bytes_by_client"] == {"up": 2000, "down": 4000}
    with (tmp_path / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    scores_of_runs, clustering_of_one_column = 3 * 3 * 2 * 3, 3 * 2 * 2
    scores = [line for line in lines if line["seed"]]
    assert len(scores) == scores_of_runs + clustering_of_one_column
    assert {
        "scenario": "one",
        "domain": "",
        "column": "parted",
        "method": "huscf",
        "metric": "ari",
        "seed": "4",
        "value": "1.0",
    } in scores
    costs = {
        line["metric"]: line["value"] for line in lines if line["column"] == "averaged" and not line["seed"]
    }
    assert costs["bytes_by_client.up"] == "2000.0"
    assert float(costs["predicted_step_s.all.exact"]) > float(costs["predicted_step_s.without_slowest.exact"])


def test_the_legend_says_of_marks_only_where_there_are_some(tmp_path, plan, results):
    assert any("beside parted" in sentence for sentence in legend(results))
    (tmp_path / "other").mkdir()
    single = results_of(plan, kept_runs(tmp_path / "other", plan_of(tmp_path / "other"), parted={0: {}}))
    assert not any("beside parted" in sentence for sentence in legend(single))


@pytest.mark.slow
def test_classifiers_that_stay_on_clients_have_a_table_and_curves(tmp_path, plan):
    own = {"test": (0.7, 0.4), "held_out": (0.9, 0.8)}
    results = results_of(plan, kept_runs(tmp_path, plan, parted={0: {"own": own}}))
    text = printed(results)
    _, own_models = text.split("small, one: own models")
    row = next(line for line in own_models.splitlines() if "parted" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "parted", "1", "0.700", "0.400", "0.900", "0.800",
    ]  # fmt: skip
    page = comparison_page(results)
    assert "worst accuracy at home" in page.lower()
    assert "own models" in page
