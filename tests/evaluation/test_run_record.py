import json

import pytest

from huscf_flwr.evaluation.run_record import byte_total, in_counting_order, part, read_run
from tests.evaluation.run_folders import round_record, write_fedgan_run, write_metrics, write_run


def test_everything_that_a_finished_run_wrote_is_read(tmp_path):
    record = read_run(write_run(tmp_path / "demo", rounds=3, pictured=(1, 3)))
    assert record.name == "demo"
    assert record.is_finished
    assert [entry["round"] for entry in record.rounds] == [1, 2, 3]
    assert [(grid.product, grid.round) for grid in record.samples] == [
        ("cluster-0", 1),
        ("cluster-0", 3),
        ("cluster-1", 1),
        ("cluster-1", 3),
    ]
    assert record.method == "huscf"
    assert record.clients == tuple(range(8))
    assert record.clusters == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 1, 7: 1}
    assert record.products == {"cluster-0": (0, 1, 2, 3), "cluster-1": (4, 5, 6, 7)}
    assert record.domains["digits"]["product"] == "cluster-0"
    assert record.domains["digits"]["tstr_accuracy"] == 0.93


def test_an_empty_folder_is_an_empty_record(tmp_path):
    record = read_run(tmp_path)
    assert record.name == tmp_path.name
    assert not record.is_finished
    assert (record.rounds, record.samples) == ((), ())
    assert (record.clusters, record.domains, record.products) == ({}, {}, {})
    assert (record.clients, record.method) == ((), None)


def test_a_method_without_clusters_and_cuts_has_none(tmp_path):
    record = read_run(write_fedgan_run(tmp_path / "demo", rounds=2, pictured=(2,)))
    assert record.method == "fedgan"
    assert (record.clusters, record.cuts) == ({}, {})
    assert record.products == {"global": tuple(range(8))}
    assert [grid.product for grid in record.samples] == ["global"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such-run: no such run folder"):
        read_run(tmp_path / "no-such-run")


def test_a_half_written_last_line_is_left_out(tmp_path, caplog):
    write_metrics(tmp_path, [round_record(1), round_record(2)])
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text()[:-100])
    assert [entry["round"] for entry in read_run(tmp_path).rounds] == [1]
    assert "metrics.jsonl:2" in caplog.text


def test_a_round_that_was_repeated_counts_as_it_was_last(tmp_path):
    again = round_record(2) | {"seconds": 99.0}
    write_metrics(tmp_path, [round_record(1), round_record(2), round_record(3), again])
    rounds = read_run(tmp_path).rounds
    assert [entry["round"] for entry in rounds] == [1, 2, 3]
    assert rounds[1]["seconds"] == 99.0


@pytest.mark.parametrize("name", ["config.yaml", "clients.json", "cuts.json", "summary.json"])
@pytest.mark.parametrize("content", ["{", "[1, 2]", ""])
def test_a_damaged_part_counts_as_missing(tmp_path, name, content):
    folder = write_run(tmp_path / "demo", rounds=2, pictured=())
    (folder / name).write_text(content)
    record = read_run(folder)
    parts = {
        "config.yaml": "config",
        "clients.json": "described",
        "cuts.json": "cuts",
        "summary.json": "summary",
    }
    assert not getattr(record, parts[name])
    assert record.clusters


def test_the_last_known_score_counts(tmp_path):
    first, second, third = (round_record(n) | {"domains": {}} for n in (1, 2, 3))
    first["domains"] = {"digits": {"product": "cluster-0", "fid": 50.0, "label_fidelity": 0.2}}
    second["domains"] = {
        "digits": {"product": "cluster-1", "fid": None, "label_fidelity": 0.6},
        "letters": None,
    }
    write_metrics(tmp_path, [first, second, third])
    assert read_run(tmp_path).domains == {
        "digits": {"product": "cluster-1", "fid": 50.0, "label_fidelity": 0.6},
        "letters": {},
    }


def test_not_a_number_is_not_known(tmp_path):
    write_metrics(tmp_path, [round_record(1) | {"domains": {"digits": {"fid": float("nan")}}}])
    assert "NaN" in (tmp_path / "metrics.jsonl").read_text()
    assert read_run(tmp_path).domains == {"digits": {}}


def test_a_client_is_where_it_was_seen_last(tmp_path):
    first, second = round_record(1, clients=3), round_record(2, clients=3)
    del second["clients"][1]
    second["clients"][0]["cluster"] = None
    write_metrics(tmp_path, [first, second])
    assert read_run(tmp_path).clusters == {0: 0, 1: 0, 2: 1}


def test_bytes_are_those_of_all_kinds():
    assert byte_total({"bytes": {"up": {"a": 1, "b": 2}, "down": {}}}, "up") == 3
    assert byte_total({"bytes": {"up": {"a": 1}, "down": {}}}, "down") is None
    assert byte_total({}, "up") is None


def test_names_are_sorted_as_people_count():
    names = ["cluster-10", "global", "cluster-9", "7"]
    assert sorted(names, key=in_counting_order) == ["7", "cluster-9", "cluster-10", "global"]


def test_what_clients_scored_is_found_by_product(tmp_path):
    products = {"a": {"clients": [0], "client_scores": {"tstr_f1": 0.5, "fid": None}}, "b": {"clients": [1]}}
    (tmp_path / "summary.json").write_text(json.dumps({"products": products}))
    assert read_run(tmp_path).client_scores == {"a": {"tstr_f1": 0.5}}


def test_other_pictures_are_not_taken_for_samples(tmp_path):
    folder = write_run(tmp_path / "demo", rounds=1, pictured=(1,))
    (folder / "samples" / "holiday.png").write_bytes(b"")
    assert {grid.path.name for grid in read_run(folder).samples} == {
        "round-001-cluster-0.png",
        "round-001-cluster-1.png",
    }


def test_part_walks_down_as_far_as_it_can():
    record = json.loads('{"a": {"b": 3}}')
    assert part(record, "a", "b") == 3
    assert part(record, "a", "c") is None
    assert part(record, "a", "b", "c") is None
