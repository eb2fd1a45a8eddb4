import importlib.util

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from huscf_flwr.run.check import check_run
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.run.tensorboard import FOLDER_NAME, TensorBoard, check_tensorboard, scalars_of
from tests.run.builders import DOMAINS, SilentDisplay, small_run

SETTINGS = {"tensorboard": "true", "huscf.clusters": 2}


def events_of(folder):
    events = EventAccumulator(str(folder / FOLDER_NAME), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


def curve(events, name):
    return [(point.step, point.value) for point in events.Scalars(name)]


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    place = tmp_path_factory.mktemp("board")
    config = small_run(images, place, **SETTINGS)
    summary = train_locally(config, display=SilentDisplay())
    return config, summary, events_of(config.folder)


@pytest.mark.slow
def test_every_round_continues_every_curve(finished):
    config, _, events = finished
    lines = read_metrics(config.folder)
    for place, line in enumerate(lines):
        for name, value in scalars_of(line):
            step, found = curve(events, name)[place]
            assert (step, found) == (line["round"], pytest.approx(value, rel=1e-6)), name


def test_what_was_promised_has_a_curve(finished):
    *_, events = finished
    assert set(events.Tags()["scalars"]) >= {
        "loss/generator",
        "loss/discriminator",
        "clusters/count",
        "round/adjusted Rand index",
        "round/silhouette",
        "seconds/round",
        "bytes/up",
        "bytes/down",
        "bytes up/segments",
        *(f"score {domain}/label fidelity" for domain in DOMAINS),
    }


def test_numbers_of_a_strangers_method_have_curves():
    line = {
        "losses": {"critic": 0.5},
        "facts": {"mean_roundness": 0.25, "shape": "round", "unknown": None},
        "seconds": 2.0,
        "server_step_seconds": None,
        "bytes": {"up": {"masks": 3}, "down": {}},
        "domains": {"digits": {"product": "global", "crispness": 0.75}},
        "clients": [{"id": 0}],
    }
    assert dict(scalars_of(line)) == {
        "loss/critic": 0.5,
        "round/mean roundness": 0.25,
        "seconds/round": 2.0,
        "bytes/up": 3,
        "bytes/down": 0,
        "bytes up/masks": 3,
        "score digits/crispness": 0.75,
    }


def test_scores_of_clients_are_written_by_product(tmp_path):
    products = {"global": {"clients": [0], "client_scores": {"tstr_f1": 0.5}}, "other": {"clients": [1]}}
    TensorBoard(tmp_path).end({"rounds": 3, "domains": None, "products": products})
    assert curve(events_of(tmp_path), "final on clients global/TSTR F1") == [(3, 0.5)]


def test_the_last_judgement_is_there(finished):
    config, summary, events = finished
    for domain, scores in summary["domains"].items():
        ((step, value),) = curve(events, f"final {domain}/TSTR accuracy")
        assert step == config.rounds
        assert value == pytest.approx(scores["tstr_accuracy"], rel=1e-6)


def test_every_round_has_a_picture_of_every_product(finished):
    *_, events = finished
    for cluster in (0, 1):
        pictures = events.Images(f"samples/cluster-{cluster}")
        assert [picture.step for picture in pictures] == [1, 2]
        assert all(np.frombuffer(p.encoded_image_string, np.uint8).size > 100 for p in pictures)


@pytest.mark.slow
def test_a_resumed_run_has_the_rounds_of_before_once(images, finished, tmp_path):
    """Even if the run that it resumes wrote none."""
    train_locally(small_run(images, tmp_path, rounds=1, **{**SETTINGS, "tensorboard": "false"}))
    assert not (tmp_path / "small" / FOLDER_NAME).exists()
    rest = small_run(images, tmp_path, resume=tmp_path / "small", **SETTINGS)
    for _ in range(2):
        train_locally(rest, display=SilentDisplay())
        events = events_of(rest.folder)
        for name in ("loss/generator", "bytes/up"):
            assert curve(events, name) == curve(finished[2], name)


def test_without_the_package_a_run_that_wants_it_does_not_start(images, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = r"tensorboard is true, but .*not installed: pip install 'huscf-flwr\[tensorboard\]'"
    wanting = small_run(images, tmp_path, **SETTINGS)
    for start in (check_run, check_tensorboard, train_locally):
        with pytest.raises(ValueError, match=message):
            start(wanting)
    check_tensorboard(small_run(images, tmp_path))
    assert list(tmp_path.iterdir()) == []
