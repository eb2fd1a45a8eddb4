"""A run's folder may be moved, and so may the files that its settings name."""

import shutil

import pytest
import yaml

from huscf_flwr.conf_files import find_conf
from huscf_flwr.config import changed_files, dump_config, keep_named_files, load_config
from huscf_flwr.methods import resolved
from huscf_flwr.models import model_spec_of
from tests.run.builders import small_run


@pytest.fixture
def spec(tmp_path):
    content = yaml.safe_load(find_conf("models", "authors-28").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, "latent": 7}))
    return path


@pytest.fixture
def write(tmp_path, spec):
    """Writes what a run leaves in its folder, and moves the folder."""

    def written(**settings):
        config = resolved(small_run(tmp_path, tmp_path / "runs", **{"model.spec": spec, **settings}))
        (config.folder / "checkpoint").mkdir(parents=True)
        keep_named_files(config, config.folder)
        (config.folder / "config.yaml").write_text(dump_config(config))
        moved = tmp_path / "archive" / "kept"
        moved.parent.mkdir()
        shutil.move(config.folder, moved)
        return config, moved

    return written


def test_a_moved_run_is_where_it_lies_now(write):
    config, moved = write()
    assert load_config(str(moved / "config.yaml")).folder == moved
    again = load_config(str(moved / "config.yaml"), [f"output={config.output}", "name=other"])
    assert again.folder == config.output / "other"


def test_a_run_that_was_resumed_in_its_own_folder_is_so_again(write, tmp_path):
    _, moved = write(resume=tmp_path / "runs" / "small")
    assert load_config(str(moved / "config.yaml")).resume == moved


def test_a_run_goes_on_without_the_file_that_it_named(write, spec):
    config, moved = write()
    known = model_spec_of(config)
    spec.unlink()
    found = model_spec_of(load_config(str(moved / "config.yaml")))
    assert found == known
    assert (found.name, found.latent) == ("mine", 7)


def test_a_copy_of_a_configuration_elsewhere_is_no_runs_own(write, tmp_path):
    """Its folder is somebody's, and must not be taken for a run's."""
    config, moved = write()
    shutil.copy(moved / "config.yaml", tmp_path / "config.yaml")
    assert load_config(str(tmp_path / "config.yaml")).folder == config.folder


def test_only_files_that_are_named_by_path_are_kept(write):
    _, moved = write()
    assert [path.name for path in (moved / "conf").iterdir()] == ["models.yaml"]


def test_of_files_that_have_changed_since_the_runs_copies_are_known(tmp_path, spec):
    devices = tmp_path / "devices.yaml"
    devices.write_text(find_conf("devices", "paper").read_text())
    settings = {"model.spec": spec, "cuts.devices": devices}
    config = resolved(small_run(tmp_path, tmp_path / "runs", **settings))
    keep_named_files(config, config.folder)
    assert changed_files(config, config.folder) == {}
    spec.write_text(spec.read_text().replace("latent: 7", "latent: 8"))
    copy = config.folder / "conf" / "models.yaml"
    assert changed_files(config, config.folder) == {"model.spec": copy}
    kept = small_run(tmp_path, tmp_path / "runs", **{**settings, "model.spec": copy})
    assert changed_files(kept, config.folder) == {}
