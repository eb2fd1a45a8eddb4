import json
from dataclasses import replace

import pytest

from huscf_flwr.run.checkpoint import read_checkpoint, save_server
from huscf_flwr.run.run_folder import WARM_UP_STEPS, RunFolder, read_metrics, read_progress
from tests.run.builders import coordinator_of, small_run, train_round


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
    assert "plain_rounds: 0\n" in text


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


@pytest.fixture
def finished(make, tmp_path):
    """A folder with three rounds, two pictures of each, and the checkpoint of the second."""
    folder = make("old", clients=3)
    folder.begin()
    (folder.path / "metrics.jsonl").write_text(lines_of(1, 2, 3))
    for name in ("summary.json", "progress.json"):
        (folder.path / name).write_text("{}")
    (folder.path / "samples").mkdir()
    for number in (1, 2, 3):
        for cluster in (0, 1):
            (folder.path / "samples" / f"round-00{number}-cluster-{cluster}.png").write_text(str(number))
    coordinator = coordinator_of(small_run(tmp_path, tmp_path, clients=3, **{"model.width": 0.03}))
    coordinator.round = 2
    save_server(coordinator, folder.path)
    return folder.path


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_resumed_run_takes_over_the_rounds_of_the_checkpoint_only(make, finished, name):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    folder = make(name, clients=3)
    folder.begin(read_checkpoint(finished))
    assert [line["round"] for line in read_metrics(folder.path)] == [1, 2]
    assert read_checkpoint(folder.path).state.round == 2
    assert not (folder.path / "summary.json").exists()
    assert not (folder.path / "progress.json").exists()
    pictures = sorted(path.name for path in (folder.path / "samples").iterdir())
    assert pictures == [f"round-00{number}-cluster-{cluster}.png" for number in (1, 2) for cluster in (0, 1)]
    if name == "new":
        assert {path: path.read_bytes() for path in before} == before


def test_a_folder_by_another_way_is_still_its_own(make, finished, tmp_path):
    (tmp_path / "way").symlink_to(finished)
    make("old", clients=3).begin(read_checkpoint(tmp_path / "way"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "way"]


def test_progress_can_be_read_while_it_is_there(make):
    folder = make()
    folder.begin()
    assert read_progress(folder.path) is None
    folder.write_progress(2, 5, 40)
    assert read_progress(folder.path) == {"round": 2, "step": 5, "steps": 40}


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ([1.0, 3.0, 7.0], {"after_warm_up": {"median": 3.0, "least": 1.0, "most": 7.0}}),
        ([], {}),
    ],
)
def test_what_the_first_steps_took_can_be_left_out(make, tmp_path, later, expected):
    folder = make()
    folder.begin()
    coordinator = coordinator_of(small_run(tmp_path, tmp_path, clients=3, **{"model.width": 0.03}))
    seconds = [9.0] * WARM_UP_STEPS + later
    line = folder.write_round(replace(train_round(coordinator), step_seconds=seconds), None, None)
    found = {"median": line["step_seconds"]["median"], "least": min(seconds), "most": 9.0, **expected}
    assert line["step_seconds"] == found
    assert read_metrics(folder.path) == [line]


def test_a_folder_without_metrics_has_no_rounds(tmp_path):
    assert read_metrics(tmp_path) == []
