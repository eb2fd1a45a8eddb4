"""What a run tells while it is judged, which takes longer than anything else before and after its rounds."""

import pytest

from huscf_flwr.flower import client_app, strategy
from huscf_flwr.flower.told_lines import private_home
from huscf_flwr.flower.watching import WatchedFolder
from huscf_flwr.run import local
from huscf_flwr.run.local import train_locally
from tests.flower.grid_runs import hosts, run
from tests.run.builders import SilentDisplay, small_run

TRAINED = (
    "steps of training the judge of digits",
    "steps of training the judge of letters",
    "steps of training a classifier on images drawn for digits",
    "steps of training a classifier on images drawn for letters",
)


@pytest.fixture
def impatient(monkeypatch):
    """Progress is told at once, whatever the clock says."""
    for module in (local, strategy, client_app):
        monkeypatch.setattr(module, "Paced", lambda tell: lambda what, done, total: tell(f"{what}: {done}"))


def in_the_local_engine(config):
    display = SilentDisplay()
    train_locally(config, display=display)
    return display.notes


def on_flower(config):
    """What the launcher shows; it has no other way to know."""
    display = SilentDisplay()
    private_home(config).mkdir(parents=True)
    watched = WatchedFolder(config, display)
    run(config, hosts(1))
    watched.show()
    return display.notes


@pytest.mark.parametrize("engine", [in_the_local_engine, on_flower])
@pytest.mark.parametrize("method", ["fedgan", "local"])
def test_judges_and_classifiers_that_are_trained_show_how_far_they_are(
    images, tmp_path, impatient, engine, method
):
    cache = {"data.cache": tmp_path / "cache"}
    notes = engine(small_run(images, tmp_path, method=method, rounds=1, clients=2, **cache))
    for what in TRAINED:
        assert any(note.startswith(f"{what}: ") for note in notes), what
