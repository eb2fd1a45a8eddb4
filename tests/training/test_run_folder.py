import json

import pytest

from huscf_flwr.training.run_folder import RunFolder, read_metrics, read_progress
from tests.training.builders import small_run


@pytest.fixture
def make(tmp_path):
    return lambda name="small", **settings: RunFolder(small_run(tmp_path, tmp_path, name=name, **settings))


def lines_of(*numbers):
    return "".join(json.dumps({"round": number}) + "\n" for number in numbers)


def test_a_new_folder_has_the_whole_configuration(make):
    folder = make(seed=7)
    folder.begin()
    text = (folder.path / "config.yaml").read_text()
    assert "seed: 7\n" in text
    assert "plain_rounds: 1\n" in text


def test_every_earlier_run_of_the_name_is_kept(make, tmp_path):
    for number in range(3):
        folder = make()
        folder.begin()
        (folder.path / "mine").write_text(str(number))
    found = sorted((path / "mine").read_text() for path in tmp_path.iterdir())
    assert found == ["0", "1", "2"]
    assert (tmp_path / "small" / "mine").read_text() == "2"


def test_an_empty_folder_is_used_as_it_is(make, tmp_path):
    (tmp_path / "small").mkdir()
    make().begin()
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_resumed_run_takes_over_the_rounds_of_the_checkpoint_only(make):
    old, new = make("old"), make("new")
    old.begin()
    (old.path / "metrics.jsonl").write_text(lines_of(1, 2, 3))
    (old.path / "checkpoint").mkdir()
    (old.path / "checkpoint" / "server.json").write_text("state")
    (old.path / "summary.json").write_text("{}")
    new.begin(old.path, 2)
    assert [line["round"] for line in read_metrics(new.path)] == [1, 2]
    assert (new.path / "checkpoint" / "server.json").read_text() == "state"
    assert not (new.path / "summary.json").exists()
    assert [line["round"] for line in read_metrics(old.path)] == [1, 2, 3]


def test_progress_can_be_read_while_it_is_there(make):
    folder = make()
    folder.begin()
    assert read_progress(folder.path) is None
    folder.write_progress(2, 5, 40)
    assert read_progress(folder.path) == {"round": 2, "step": 5, "steps": 40}


def test_a_folder_without_metrics_has_no_rounds(tmp_path):
    assert read_metrics(tmp_path) == []
