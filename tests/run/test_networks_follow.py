"""Runs whose networks follow the data, from the images to the report."""

import pytest
import yaml

from huscf_flwr.config import dump_config
from huscf_flwr.data import following_data
from huscf_flwr.deployment.client_data import write_client_data
from huscf_flwr.models import load_model_spec, model_spec_of
from huscf_flwr.run import check, run_folder
from huscf_flwr.run.check import as_begun, check_run
from huscf_flwr.run.checkpoint import last_round, settings_of
from huscf_flwr.run.local import train_locally
from tests.commands.invoking import invoke, succeeded
from tests.data.formats.writing import some, write_npz, write_pictures
from tests.flower.grid_runs import hosts, run
from tests.quick import mostly_slow
from tests.run.builders import UNJUDGED, SilentDisplay, small_run


@pytest.mark.slow
@pytest.mark.parametrize("channels", mostly_slow([1, 3], 3))
def test_a_run_has_networks_and_judges_of_its_images_form(tmp_path, channels):
    """Seven classes of 64 x 64 pixels, in folders of pictures without a test part."""
    for name in ("wild", "tame"):
        write_pictures(tmp_path / name, some(35, classes=7, size=64, channels=channels), names="abcdefg")
    settings = {"model.spec": "auto", "data.domains": "wild,tame", "clients": 2, "model.width": 0.03}
    config = small_run(tmp_path, tmp_path / "runs", rounds=1, **settings)
    display = SilentDisplay()
    summary = train_locally(config, display=display)
    assert set(summary["domains"]) == {"tame", "wild"}
    written = yaml.safe_load((config.folder / "config.yaml").read_text())["model"]
    assert written == {"spec": "images-64", "classes": 7, "channels": channels, "width": 0.03}
    assert len([note for note in display.notes if "wild: no test part" in note]) == 1


@pytest.mark.parametrize(
    ("size", "channels", "spec", "said"),
    mostly_slow(
        [
            (28, 1, "auto", "takes authors-28 for these images: 28 x 28 pixels, grey, 7 classes"),
            (
                40,
                3,
                "auto",
                "takes colour-32 for these images: 40 x 40 pixels, colour, 7 classes; they are shrunk to the "
                "networks' 32 x 32",
            ),
            (64, 1, "auto", "takes images-64 for these images: 64 x 64 pixels, grey, 7 classes"),
            (28, 1, "authors-28", None),
        ],
        (28, 1, "auto", "takes authors-28 for these images: 28 x 28 pixels, grey, 7 classes"),
    ),
)
@pytest.mark.parametrize(
    "command", [("run", "--engine", "local"), ("run",), ("deploy", "demo")], ids=" ".join
)
@pytest.mark.usefixtures("flower_in_this_process")
def test_a_command_that_trains_says_once_which_networks_auto_took(
    command, size, channels, spec, said, tmp_path
):
    """Whoever says it: the command, what it starts, or the server, which may learn of it too late."""
    write_npz(tmp_path / "own.npz", train=some(35, classes=7, size=size, channels=channels))
    config = own_run(tmp_path, rounds=1, **{"model.spec": spec})
    (tmp_path / "run.yaml").write_text(dump_config(config))
    name, *options = command
    words = (
        [name, *options, tmp_path / "run.yaml"]
        if name == "deploy"
        else [name, tmp_path / "run.yaml", *options]
    )
    shown = succeeded(invoke(*words))
    assert last_round(config.folder) == 1
    told = [line for line in shown.splitlines() if "model.spec" in line]
    assert told == ([f"model.spec is auto, which {said}"] if said else [])


@pytest.fixture
def flower_in_this_process(monkeypatch):
    """Commands that start Flower run the ServerApp and its SuperNodes here, and show what it tells them."""

    def simulated(config, app, *, supernodes, display, stop):
        run(config, hosts(supernodes), display=display)

    def deployed(config, app, *, display, stop):
        home = config.output / "devices"
        nodes = {
            200 + client: {
                "client-id": client,
                "data-folder": str(folder),
                "state-folder": str(home / f"state-{client}"),
            }
            for client, folder in write_client_data(config, home).paths.items()
        }
        run(config, nodes, display=display)

    monkeypatch.setattr("huscf_flwr.commands.run.run_with_flower", simulated)
    monkeypatch.setattr("huscf_flwr.commands.deploy_demo.run_deployed", deployed)


def test_a_run_that_is_trained_by_a_program_says_which_networks_auto_took(cows):
    """As `huscf privacy` trains them."""
    config, display = own_run(cows, rounds=1, **{"model.spec": "auto"}), SilentDisplay()
    train_locally(config, display=display)
    assert len([note for note in display.notes if note.startswith("model.spec is auto, which takes")]) == 1


def own_run(tmp_path, **settings):
    settings = {"data.domains": "own", "clients": 2, "model.width": 0.03, **UNJUDGED, **settings}
    return small_run(tmp_path, tmp_path / "runs", method="fedgan", **settings)


@pytest.fixture
def cows(tmp_path):
    write_npz(tmp_path / "own.npz", train=some(60, classes=3, size=28), test=some(9, classes=3, size=28))
    return tmp_path


@pytest.fixture
def rows(monkeypatch):
    """The captions of the rows of every grid that a run draws."""
    drawn = []
    monkeypatch.setattr(run_folder, "sample_grid", lambda *given: drawn.append(given[-1]))
    return drawn


def test_a_set_of_three_classes_trains_networks_of_three_with_nothing_set(cows, rows):
    config = own_run(cows, rounds=1)
    train_locally(config, display=SilentDisplay())
    assert rows == [["0", "1", "2"]]
    assert yaml.safe_load((config.folder / "config.yaml").read_text())["model"]["classes"] == 3


def test_a_run_that_began_with_other_networks_goes_on_with_them(cows, monkeypatch):
    """As those did that began before networks had as many classes as the images."""
    monkeypatch.setattr(check, "following_data", lambda config: config)
    began = own_run(cows, rounds=1)
    train_locally(began, display=SilentDisplay())
    monkeypatch.setattr(check, "following_data", following_data)
    goes_on = own_run(cows, rounds=2, resume=began.folder)
    checked = check_run(goes_on)
    assert model_spec_of(checked.config).classes == load_model_spec("authors-28").classes == 10
    assert check_run(own_run(cows, rounds=2, name="anew")).config.model.classes == 3


def test_a_run_goes_on_with_the_classes_of_its_images(cows, rows):
    began = own_run(cows, rounds=1)
    train_locally(began, display=SilentDisplay())
    goes_on = own_run(cows, rounds=2, resume=began.folder)
    assert as_begun(goes_on, settings_of(began.folder)).model.classes == 3
    train_locally(goes_on, display=SilentDisplay())
    assert len(rows[-1]) == 3
