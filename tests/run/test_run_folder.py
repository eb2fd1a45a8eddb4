import json

import pytest

from huscf_flwr.methods import resolved
from huscf_flwr.run.checkpoint import read_checkpoint, save_checkpoint
from huscf_flwr.run.run_folder import RunFolder, make_way, read_metrics, read_progress
from tests.run.builders import small_run, training_of


@pytest.fixture
def make(tmp_path):
    def folder(name="small", **settings):
        return RunFolder(resolved(small_run(tmp_path, tmp_path, name=name, **settings)))

    return folder


def lines_of(*numbers):
    return "".join(json.dumps({"round": number}) + "\n" for number in numbers)


def test_a_new_folder_has_the_whole_configuration(make):
    folder = make(seed=7)
    folder.make()
    text = (folder.path / "config.yaml").read_text()
    assert "seed: 7\n" in text
    assert "plain_rounds: 0\n" in text


def test_every_earlier_run_of_the_name_is_kept(make, tmp_path, caplog):
    caplog.set_level("INFO", "huscf_flwr.run")
    for number in range(3):
        folder = make()
        folder.make()
        (folder.path / "mine").write_text(str(number))
    assert caplog.text.count(f"{folder.path} was there already; the run in it is kept as") == 2
    found = sorted((path / "mine").read_text() for path in tmp_path.iterdir())
    assert found == ["0", "1", "2"]
    assert (tmp_path / "small" / "mine").read_text() == "2"


def test_where_an_earlier_run_is_kept_is_said(make, tmp_path):
    folder, notes = make().path, []
    make_way(folder, None, notes.append)
    make().make()
    make_way(folder, folder, notes.append)
    assert notes == []
    make_way(folder, None, notes.append)
    (moved,) = tmp_path.iterdir()
    assert notes == [f"{folder} was there already; the run in it is kept as {moved}"]
    assert (moved / "config.yaml").is_file()


def test_an_empty_folder_is_used_as_it_is(make, tmp_path):
    (tmp_path / "small").mkdir()
    make().make()
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


@pytest.fixture
def finished(make, tmp_path):
    """A folder with three rounds, two pictures of each, and the checkpoint of the second."""
    folder = make("old", clients=3)
    folder.make()
    (folder.path / "metrics.jsonl").write_text(lines_of(1, 2, 3))
    for name in ("summary.json", "progress.json"):
        (folder.path / name).write_text("{}")
    (folder.path / "samples").mkdir()
    for number in (1, 2, 3):
        for cluster in (0, 1):
            (folder.path / "samples" / f"round-00{number}-cluster-{cluster}.png").write_text(str(number))
    training = training_of(small_run(tmp_path, tmp_path, clients=3, **{"model.width": 0.03}))
    training.rounds.number = 2
    save_checkpoint(training.rounds, folder.path)
    return folder.path


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_resumed_run_takes_over_the_rounds_of_the_checkpoint_only(make, finished, name):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    folder = make(name, clients=3)
    folder.make(read_checkpoint(finished))
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
    make("old", clients=3).make(read_checkpoint(tmp_path / "way"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "way"]


def test_progress_can_be_read_while_it_is_there(make):
    folder = make()
    folder.make()
    assert read_progress(folder.path) is None
    folder.progress(2, 5, 40)
    assert read_progress(folder.path) == {"round": 2, "step": 5, "steps": 40}


def test_progress_that_a_crash_has_spoiled_is_none(make):
    folder = make()
    folder.make()
    (folder.path / "progress.json").write_text("")
    assert read_progress(folder.path) is None


@pytest.mark.parametrize("method", ["huscf", "fedgan"])
def test_who_takes_part_and_what_there_is_to_show_are_written(make, tmp_path, method):
    config = small_run(tmp_path, tmp_path, method=method, clients=3, **{"model.width": 0.03})
    training = training_of(config)
    folder = RunFolder(training.config)
    folder.make()
    folder.begin(training.rounds, folder.path)
    found = json.loads((folder.path / "clients.json").read_text())
    assert found == {
        "clients": [
            {"id": client, "samples": samples, "device": "any"}
            for client, samples in ((0, 16), (1, 9), (2, 5))
        ]
    }
    assert (folder.path / "cuts.json").exists() == (method == "huscf")
    assert not (folder.path / "generators").exists()
    training.train()
    folder.round({"round": 1}, training.rounds)
    assert read_metrics(folder.path) == [{"round": 1}]
    products = {product.name for product in training.method.products()}
    assert {path.stem for path in (folder.path / "generators").iterdir()} == products
    assert {path.name for path in (folder.path / "samples").iterdir()} == {
        f"round-001-{name}.png" for name in products
    }


def test_the_generator_of_a_product_that_is_no_more_goes(make, tmp_path):
    training = training_of(small_run(tmp_path, tmp_path, clients=3, **{"model.width": 0.03}))
    folder = RunFolder(training.config)
    folder.make()
    training.train()
    folder.round({"round": 1}, training.rounds)
    (folder.path / "generators" / "cluster-7.safetensors").write_bytes(b"old")
    folder.round({"round": 2}, training.rounds)
    products = {product.name for product in training.method.products()}
    assert {path.stem for path in (folder.path / "generators").iterdir()} == products


def test_a_folder_without_metrics_has_no_rounds(tmp_path):
    assert read_metrics(tmp_path) == []
