import base64
import json
import re

import pytest
import yaml

from huscf_flwr.evaluation.report import write_report
from huscf_flwr.evaluation.report_charts import charts
from huscf_flwr.evaluation.report_clients import client_table
from huscf_flwr.evaluation.report_sections import (
    client_scores,
    colours,
    domain_scores,
    key_figures,
    product_samples,
    settings,
    traffic,
)
from huscf_flwr.evaluation.run_record import read_run
from tests.evaluation.pages import Page, in_clusters, report_of
from tests.evaluation.run_folders import (
    DOMAINS,
    KINDS,
    clusters_of,
    fedgan_round_record,
    round_record,
    write_fedgan_run,
    write_metrics,
    write_run,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "demo", rounds=10, pictured=(1, 5, 10))


@pytest.fixture(scope="module")
def html(finished):
    return report_of(finished)


ALL_SECTIONS = ["quality", "samples", "curves", "clusters", "clients", "traffic", "configuration"]


def test_a_finished_run_has_all_sections(html):
    page = Page(html)
    assert page.sections == ALL_SECTIONS
    assert "Not finished" not in page.text
    assert "—" not in page.cells


def test_it_needs_nothing_but_itself(html):
    page = Page(html)
    assert page.sources, "no pictures at all"
    assert all(source.startswith("data:image/") for source in page.sources)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not re.search(r"https?://|@import|url\(", html)


def test_its_pictures_are_those_of_the_folder(finished, html):
    for path in (finished / "samples").glob("*.png"):
        assert base64.b64encode(path.read_bytes()).decode() in html


def test_its_drawings_load_nothing_either(html):
    for source in re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html):
        drawing = base64.b64decode(source).decode()
        assert not re.search(r'href="(?!#)|url\((?!#)|@import|<script', drawing)


@pytest.mark.slow
def test_only_the_finished_report_is_left(finished):
    write_report(finished)
    assert not [path.name for path in finished.iterdir() if path.name.startswith(".")]


def test_it_shows_the_numbers(html):
    page = Page(html)
    for number in ("2\u00a0min\u00a031\u00a0s", "4.10\u00a0GB", "4.20\u00a0GB", "0.930", "1.00"):
        assert number in page.text


def test_every_value_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    folder = write_run(tmp_path / "run", rounds=2, pictured=())
    first, second = round_record(1), round_record(2)
    for record in first, second:
        record["domains"] = {evil: {"product": evil, evil: 0.5}}
        record["bytes"]["up"] = {evil: 10}
        record["losses"] = record["facts"] = record["scores"] = {evil: 1.0}
        record["clients"][0][evil] = 2.0
    write_metrics(folder, [first, second])
    (folder / "config.yaml").write_text(yaml.safe_dump({"name": evil, evil: {evil: [evil]}}))
    (folder / "clients.json").write_text(json.dumps({"clients": [{"id": 0, "device": evil}]}))
    blocks = {evil: {"count": 5, "middle": 2}}
    held = [{"id": 0, "cut": [1, 1]}]
    (folder / "cuts.json").write_text(json.dumps({"solver": evil, "blocks": blocks, "clients": held}))
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(
        json.dumps(summary | {"name": evil, "method": evil, "domains": first["domains"]})
    )
    page = Page(report_of(folder))
    assert "script" not in page.tags
    assert page.text.count(evil) >= 12


PARTS = ["config.yaml", "clients.json", "cuts.json", "metrics.jsonl", "summary.json", "samples"]


@pytest.mark.parametrize("missing", [*PARTS, "everything"])
def test_a_part_that_is_missing_is_left_out(tmp_path, missing):
    folder = write_run(tmp_path / "run", rounds=3, pictured=(3,))
    for name in PARTS if missing == "everything" else [missing]:
        path = folder / name
        if path.is_dir():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        else:
            path.unlink()
    page = Page(report_of(folder))
    without = {
        "config.yaml": {"configuration"},
        "clients.json": set(),
        "cuts.json": set(),
        "metrics.jsonl": {"curves", "clusters", "traffic"},
        "summary.json": set(),
        "samples": {"samples"},
        "everything": set(ALL_SECTIONS) - {"quality"},
    }[missing]
    assert page.sections == [name for name in ALL_SECTIONS if name not in without]
    assert ("Not finished" in page.text) == (missing in {"summary.json", "everything"})


def edge_run(folder, *, client_scores):
    """Two rounds of a deployment: nobody knows the domains."""
    write_run(folder, rounds=2, pictured=())
    records = [round_record(1), round_record(2)]
    for record in records:
        del record["scores"], record["domains"]
    write_metrics(folder, records)
    summary = json.loads((folder / "summary.json").read_text())
    summary["clusters"]["ari"] = summary["domains"] = None
    if client_scores:
        for place, product in enumerate(summary["products"].values()):
            product["client_scores"] = {"tstr_accuracy": 0.75 + place / 8, "tstr_f1": None}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_a_deployment_says_nothing_of_what_nobody_knows(tmp_path):
    folder = edge_run(tmp_path / "run", client_scores=False)
    page = Page(report_of(folder))
    assert "No domain has been judged" in page.text
    assert key_figures(read_run(folder)).scores == {}
    assert "Rand" not in page.text


def test_scores_of_clients_have_their_section(tmp_path):
    folder = edge_run(tmp_path / "run", client_scores=True)
    page = Page(report_of(folder))
    assert page.sections[0] == "client-scores"
    assert "quality" not in page.sections
    table = client_scores(read_run(folder))
    assert [metric.name for metric in table.metrics] == ["tstr_accuracy"]
    assert [(name, values["tstr_accuracy"]) for name, _, values in table.rows] == [
        ("cluster-0", 0.75),
        ("cluster-1", 0.875),
    ]


def test_a_method_without_clusters_and_cuts_reads_as_if_made_for_it(tmp_path):
    folder = write_fedgan_run(tmp_path / "run", rounds=3, pictured=(1, 3))
    record, page = read_run(folder), Page(report_of(folder))
    assert page.sections == ["quality", "samples", "curves", "clients", "traffic", "configuration"]
    assert "—" not in page.cells
    assert "A run of fedgan" in page.text
    for word in ("Cluster", "cluster", "cut", "Rand", "solver", "server trains", "HuSCF"):
        assert word not in page.text, word
    assert [samples.product for samples in product_samples(record)] == ["global"]
    assert product_samples(record)[0].domains == DOMAINS
    assert client_table(record).rows[1].share == pytest.approx(165 / (2 * 630))
    assert domain_scores(record).judged == ("global",)
    assert [name for name, _ in settings(record)] == ["run", "model", "data"]


def test_pools_are_not_taken_for_clients(tmp_path):
    folder = write_fedgan_run(tmp_path / "run", rounds=1, pictured=())
    clients = json.loads((folder / "clients.json").read_text())
    for pooled in (False, True):
        (folder / "clients.json").write_text(json.dumps({**clients, "pooled": pooled}))
        text = Page(report_of(folder)).text
        assert ("has the images of all clients of a domain" in text) is pooled
        assert ("Pools" in text) is pooled
        assert ("parts of one simulation" in text) is pooled


@pytest.mark.parametrize(
    ("scores", "said", "not_said"),
    [
        ({"held_out": {"accuracy": 0.5}}, "Held out images are the client’s own", "Test images are"),
        ({"test": {"accuracy": 0.5}}, "those of the client’s own domain", "Held out"),
        (
            {"generated": {"label_fidelity": 0.5}},
            "trained on the training images of the client’s domain",
            "Test images are",
        ),
    ],
)
def test_own_models_scores_say_which_images_they_rest_on(tmp_path, scores, said, not_said):
    folder = write_fedgan_run(tmp_path / "run", rounds=1, pictured=())
    spreads = {
        on: {name: dict.fromkeys(("mean", "worst", "spread"), value) for name, value in found.items()}
        for on, found in scores.items()
    }
    line = {"round": 1, "scores": spreads, "clients": [{"id": 0, **scores}]}
    (folder / "evaluations.jsonl").write_text(json.dumps(line) + "\n")
    page = Page(report_of(folder))
    assert "own-models" in page.sections
    words = " ".join(page.text.split())
    assert said in words
    assert not_said not in words
    assert "Only scores left the clients, and why some have none" in words
    assert "What is sent for evaluations is not in it" in words


def test_own_models_of_clients_that_never_trained_or_have_diverged_are_counted(tmp_path):
    folder = write_fedgan_run(tmp_path / "run", rounds=1, pictured=())
    spreads = {"test": {"accuracy": dict.fromkeys(("mean", "worst", "spread"), 0.5)}}
    clients = [{"id": client, "test": {"accuracy": 0.5}} for client in range(4)]
    line = {"round": 1, "scores": spreads, "clients": clients, "trained": 4, "drop_outs": []}

    def words(**changes):
        (folder / "evaluations.jsonl").write_text(json.dumps({**line, **changes}) + "\n")
        return " ".join(Page(report_of(folder)).text.split())

    assert "had not trained" not in words()
    assert "diverged" not in words()
    found = words(trained=1, drop_outs=[{"id": 7, "reason": "it has diverged"}])
    assert "Of these clients 3 had not trained in any round so far" in found
    assert "1 more client had no scores, and evaluations.jsonl says why" in found
    found = words(trained=0, scores={}, clients=[], drop_outs=[{"id": 7, "reason": "it has diverged"}])
    assert (
        "After round 1 nothing could be scored. Why 1 client had no scores, evaluations.jsonl says" in found
    )


def test_clients_that_were_left_behind_when_bodies_parted_are_not_said_to_have_stayed(tmp_path):
    records = [round_record(number, rounds=4) for number in range(1, 5)]
    folder = write_run(tmp_path / "run", rounds=4, pictured=())
    write_metrics(folder, records)
    words = " ".join(Page(report_of(folder)).text.split())
    assert (
        "Who was settled in a cluster then stayed in it; whoever else ran its next round on common" in words
    )


def test_numbers_of_a_strangers_method_have_charts_and_columns(tmp_path):
    record = fedgan_round_record(1, rounds=1)
    record["losses"] = {"critic": 1.0}
    record["facts"] = {"mean_roundness": 0.5, "shape": "round"}
    record["clients"][0]["taste"] = 2.5
    record["domains"] = {"digits": {"product": "global", "crispness": 0.25}}
    again = record | {"round": 2}
    write_metrics(tmp_path, [record, again])
    read = read_run(tmp_path)
    assert [chart.title for chart in charts(read)] == ["Loss", "Crispness", "Mean roundness"]
    assert [metric.name for metric in client_table(read).metrics] == ["taste"]
    assert {"0.250", "2.500"} <= set(Page(report_of(tmp_path)).cells)


def test_losses_that_clients_keep_for_themselves_have_no_chart(tmp_path):
    records = [fedgan_round_record(number, rounds=2) | {"losses": {}} for number in (1, 2)]
    write_metrics(tmp_path, [{**each, "clients": [{"id": 0, "losses": {}}]} for each in records])
    assert "Loss" not in [chart.title for chart in charts(read_run(tmp_path))]


def test_a_run_that_died_tells_how_far_it_came(tmp_path):
    folder = write_run(tmp_path / "run", rounds=10, pictured=())
    (folder / "summary.json").unlink()
    write_metrics(folder, [round_record(1), round_record(2)])
    figures = key_figures(read_run(folder))
    assert figures.rounds == 2
    assert figures.seconds == pytest.approx(12.8 + 13.1)
    assert (figures.up, figures.down) == (820_000_000, 840_000_000)
    assert (figures.clients, figures.clusters, figures.scores) == (8, 2, {"ari": 1.0})
    assert "after 2 rounds" in report_of(folder)


def test_what_the_summary_says_goes_before_sums(finished):
    assert key_figures(read_run(finished)).seconds == 151.4


def test_scores_are_curves_and_what_is_known_once_is_none(finished):
    assert [chart.title for chart in charts(read_run(finished))] == [
        "Loss",
        "Label fidelity",
        "Generation score",
        "FID",
        "Clustering",
    ]


def test_samples_show_the_latest_round_and_some_before(tmp_path):
    folder = write_run(tmp_path / "run", rounds=20, pictured=tuple(range(1, 21)))
    first, second = product_samples(read_run(folder))
    assert (first.product, first.latest_round, first.clients) == ("cluster-0", 20, 4)
    assert first.domains == ("digits",)
    assert (second.product, second.domains) == ("cluster-1", ("letters",))
    assert first.height == 2 * 56 + 3
    rounds = [number for number, _ in first.earlier]
    assert rounds[0] == 1
    assert len(rounds) == len(set(rounds)) == 6
    assert rounds == sorted(rounds)
    assert max(rounds) < 20


def test_a_product_that_is_gone_is_not_shown(finished, tmp_path):
    folder = write_run(tmp_path / "run", rounds=2, pictured=(1, 2))
    (folder / "samples" / "round-002-cluster-1.png").unlink()
    assert [samples.product for samples in product_samples(read_run(folder))] == ["cluster-0"]


def test_a_product_has_the_colour_of_its_cluster(tmp_path):
    folder = write_run(tmp_path / "run", rounds=2, pictured=(2,))
    assert colours(read_run(folder)) == {"cluster-0": 0, "cluster-1": 1}
    clusters = [3 if cluster == 0 else 1 for cluster in clusters_of(2, 8)]
    write_metrics(folder, [in_clusters(1, *clusters)])
    assert colours(read_run(folder)) == {"cluster-0": 3, "cluster-1": 1}


def test_traffic_is_summed_over_rounds_and_sorted_by_direction(tmp_path):
    kinds = {
        "up": {"segments": 30, "fake head output": 15, "mask": 30},
        "down": {"segments": 31, "labels": 40},
    }
    write_metrics(tmp_path, [round_record(n) | {"bytes": kinds} for n in (1, 2)])
    record = read_run(tmp_path)
    assert [(row.kind, row.direction, row.total) for row in traffic(record)] == [
        ("mask", "up", 60),
        ("segments", "up", 60),
        ("fake head output", "up", 30),
        ("labels", "down", 80),
        ("segments", "down", 62),
    ]
    assert sum(row.share for row in traffic(record)) == pytest.approx(1)
    assert (key_figures(record).up, key_figures(record).down) == (150, 142)


def test_the_page_has_every_kind_that_crossed(html):
    text = Page(html).text
    assert all(kind in text for kinds in KINDS.values() for kind in kinds)


def test_settings_are_grouped_by_section(finished):
    groups = dict(settings(read_run(finished)))
    assert list(groups) == ["run", "model", "data", "cuts", "executor"]
    assert ("clients", 8) in groups["run"]
    assert ("domains", list(DOMAINS)) in groups["data"]
