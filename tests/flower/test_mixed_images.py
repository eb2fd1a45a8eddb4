"""Networks and notes of runs in which SuperNodes own some of the clients, and others are virtual."""

import pytest

from huscf_flwr.data import DataError, write_idx_folder
from huscf_flwr.flower.assembly import AssemblyError
from huscf_flwr.run.run_folder import read_metrics
from tests.data.formats.writing import some
from tests.flower.grid_runs import hosts, run
from tests.run.builders import UNJUDGED, SilentDisplay, small_run


@pytest.fixture
def cows(tmp_path):
    """Three classes of images, some of which are there twice."""
    write_idx_folder(tmp_path / "cows", *(some(count, classes=3, size=28) for count in (60, 9)))
    return tmp_path


def mixed_run(root, **settings):
    settings = {"data.domains": "cows", "clients": 2, "rounds": 1, "model.width": 0.03, **settings}
    return small_run(root, root / "runs", method="fedgan", **UNJUDGED, **settings)


def owner(root, client=0):
    return {
        200 + client: {
            "client-id": client,
            "data-folder": str(root / "cows"),
            "state-folder": str(root / f"state-{client}"),
        }
    }


def logged(config):
    return (config.folder / "log.jsonl").read_text()


def test_owners_alone_have_the_networks_that_are_named(cows):
    config = mixed_run(cows)
    run(config, {**owner(cows, 0), **owner(cows, 1)})
    assert "classes: null" in (config.folder / "config.yaml").read_text()


def test_a_simulation_has_as_many_classes_as_its_images(cows):
    config = mixed_run(cows)
    run(config, hosts(1))
    assert "classes: 3" in (config.folder / "config.yaml").read_text()


@pytest.mark.parametrize("spec", ["auto", "authors-28"])
def test_a_simulation_says_once_which_networks_auto_took(cows, spec):
    """Also where `flwr run` has started it."""
    config = mixed_run(cows, **{"model.spec": spec})
    display = SilentDisplay()
    run(config, hosts(1), display=display)
    told = [note for note in display.notes if "model.spec" in note]
    said = "model.spec is auto, which takes authors-28 for these images: 28 x 28 pixels, grey, 3 classes"
    assert told == ([said] if spec == "auto" else [])


def test_owners_beside_virtual_clients_with_other_networks_are_refused(cows):
    with pytest.raises(AssemblyError, match=r"model\.classes is not set: .* 3 classes, authors-28 has 10"):
        run(mixed_run(cows), {**owner(cows), **hosts(1)})


def test_what_is_odd_about_images_of_virtual_clients_is_told_beside_owners_too(cows):
    config = mixed_run(cows, **{"model.classes": 3})
    run(config, {**owner(cows), **hosts(1)})
    assert len(read_metrics(config.folder)) == 1
    assert "9 of 9 test images are training images too" in logged(config)


def test_a_server_without_the_images_of_virtual_clients_says_so(cows, monkeypatch):
    def unread(*_, **__):
        raise DataError("cows: no such folder")

    monkeypatch.setattr("huscf_flwr.flower.server_images.population_for", unread)
    config = mixed_run(cows, **{"model.classes": 3})
    run(config, {**owner(cows), **hosts(1)})
    assert "are not looked at here, but by their hosts: cows: no such folder" in logged(config)
