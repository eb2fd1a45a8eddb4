"""The wheel, which is all that a machine without a copy of this repository has."""

import json
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk

from tests.run.builders import UNJUDGED, write_domains
from tests.without_extras import PROJECT, ROOT

PACKAGES = ("huscf_flwr", "strategies", "client_apps", "server_app")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def app_files(names):
    """Code and configuration, as they are called in a wheel: there, conf lies within the package."""
    return {name.removeprefix("huscf_flwr/") for name in names if name.endswith((".py", ".yaml"))}


@pytest.mark.slow
def test_the_wheel_has_all_code_and_configuration_and_nothing_else(wheel):
    here = [
        str(path.relative_to(ROOT)) for folder in (*PACKAGES, "conf") for path in (ROOT / folder).rglob("*")
    ]
    assert app_files(wheel.namelist()) == app_files(here)
    top = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.slow
def test_the_wheel_says_what_pip_installs(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    said = Parser().parsestr(wheel.read(name).decode())
    required = [each for each in said.get_all("Requires-Dist") if "extra ==" not in each]
    assert sorted(required) == sorted(PROJECT["dependencies"])
    assert set(said.get_all("Provides-Extra")) == PROJECT["optional-dependencies"].keys()


_LAUNCHING = """
import sys
from flwr.cli.build import build_fab_from_disk
from huscf_flwr import conf_files
from huscf_flwr.flower.app import app_folder

folder = app_folder()
print(conf_files.__file__, folder)
print(*conf_files.known_confs("runs"))
open(sys.argv[1], "wb").write(build_fab_from_disk(folder))
"""


@pytest.mark.slow
def test_what_is_installed_from_the_wheel_is_launched_without_a_checkout(wheel, tmp_path):
    """Flower is given a folder with all code and configuration, which is gone afterwards."""
    place, empty = tmp_path / "installed", tmp_path / "empty"
    wheel.extractall(place)
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHING, str(tmp_path / "app.fab")],
        cwd=empty,
        env={"PYTHONPATH": str(place), "HOME": str(empty)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, runs = done.stdout.splitlines()
    code, app = where.split()
    assert code.startswith(str(place))
    assert not app.startswith((str(place), str(ROOT)))
    assert "demo" in runs.split()
    bundle = zipfile.ZipFile(tmp_path / "app.fab")
    assert app_files(bundle.namelist()) == app_files(wheel.namelist())
    carried = tomllib.loads(bundle.read("pyproject.toml").decode())["tool"]["flwr"]["app"]
    assert carried["config"]["name"] == "demo"
    assert carried["components"] == {"serverapp": "server_app:app", "clientapp": "client_apps:app"}
    assert not Path(app).exists()


def test_flower_takes_a_checkout_and_all_that_an_app_needs_of_it(tmp_path):
    """It refuses what is too large: results and pictures are left here."""
    (tmp_path / "app.fab").write_bytes(build_fab_from_disk(ROOT))
    bundle = zipfile.ZipFile(tmp_path / "app.fab")
    here = [
        str(path.relative_to(ROOT)) for folder in (*PACKAGES, "conf") for path in (ROOT / folder).rglob("*")
    ]
    assert app_files(bundle.namelist()) == app_files(here)


_COMMAND = "import huscf_flwr; print(huscf_flwr.__file__); from huscf_flwr.commands.main import app; app()"


@pytest.mark.slow
def test_a_run_from_the_wheel_trains_in_an_empty_folder(wheel, tmp_path):
    place, empty, images = (tmp_path / name for name in ("installed", "empty", "images"))
    wheel.extractall(place)
    empty.mkdir()
    settings = {
        "name": "small",
        "rounds": 1,
        "local_epochs": 1,
        "clients": 2,
        "batch_size": 8,
        "model.width": 0.03,
        "data.scenario": "two-domains-iid",
        "data.domains": "digits,letters",
        "data.root": write_domains(images),
        "compute.threads": 1,
        **UNJUDGED,
    }
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, "run", "demo", "--engine", "local", *given],
        cwd=empty,
        env={"PYTHONPATH": str(place), "HOME": str(empty)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(str(place))
    (line,) = (empty / "runs" / "small" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["round"] == 1
    assert list((empty / "runs" / "small" / "generators").glob("*.safetensors"))
