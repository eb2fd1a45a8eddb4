import json

import pytest

from huscf_flwr.evaluation.run_record import part, read_run
from tests.evaluation.run_folders import round_record, write_metrics, write_run


def test_everything_that_a_finished_run_wrote_is_read(tmp_path):
    record = read_run(write_run(tmp_path / "demo", rounds=3, pictured=(1, 3)))
    assert record.name == "demo"
    assert record.is_finished
    assert [entry["round"] for entry in record.rounds] == [1, 2, 3]
    assert [(grid.cluster, grid.round) for grid in record.samples] == [(0, 1), (0, 3), (1, 1), (1, 3)]
    assert record.clusters == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 1, 7: 1}
    assert record.domains["digits"]["tstr_accuracy"] == 0.93


def test_an_empty_folder_is_an_empty_record(tmp_path):
    record = read_run(tmp_path)
    assert record.name == tmp_path.name
    assert not record.is_finished
    assert (record.rounds, record.samples) == ((), ())
    assert (record.clusters, record.domains) == ({}, {})


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


@pytest.mark.parametrize("name", ["config.yaml", "cuts.json", "summary.json"])
@pytest.mark.parametrize("content", ["{", "[1, 2]", ""])
def test_a_damaged_part_counts_as_missing(tmp_path, name, content):
    folder = write_run(tmp_path / "demo", rounds=2, pictured=())
    (folder / name).write_text(content)
    record = read_run(folder)
    assert not {"config.yaml": record.config, "cuts.json": record.cuts, "summary.json": record.summary}[name]
    assert record.clusters


def test_the_last_known_score_counts(tmp_path):
    first, second, third = (round_record(n) | {"domains": {}} for n in (1, 2, 3))
    first["domains"] = {"digits": {"cluster": 0, "fid": 50.0, "label_fidelity": 0.2}}
    second["domains"] = {"digits": {"cluster": 1, "fid": None, "label_fidelity": 0.6}, "letters": None}
    write_metrics(tmp_path, [first, second, third])
    assert read_run(tmp_path).domains == {
        "digits": {"cluster": 1, "fid": 50.0, "label_fidelity": 0.6},
        "letters": {},
    }


def test_not_a_number_is_not_known(tmp_path):
    write_metrics(tmp_path, [round_record(1) | {"domains": {"digits": {"fid": float("nan")}}}])
    assert "NaN" in (tmp_path / "metrics.jsonl").read_text()
    assert read_run(tmp_path).domains == {"digits": {}}


def test_without_a_summary_the_last_round_says_who_is_where(tmp_path):
    write_metrics(tmp_path, [round_record(1), round_record(2) | {"clusters": [1, 0, None, 1]}])
    assert read_run(tmp_path).clusters == {0: 1, 1: 0, 3: 1}


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
