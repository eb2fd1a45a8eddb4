"""`[tool.flwr.app.config]` of pyproject.toml, which Flower overrides only where a key exists."""

import tomllib
from pathlib import Path

import pytest

from huscf_flwr.conf_files import find_conf, known_confs, read_yaml
from huscf_flwr.config import from_run_config, load_config
from huscf_flwr.methods import BUILT_IN, method_named, resolved
from tests.config.schema import all_keys, flat

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.fixture(scope="module")
def table():
    return flat(tomllib.loads(PYPROJECT.read_text())["tool"]["flwr"]["app"]["config"])


def test_it_has_every_setting(table):
    assert table.keys() == all_keys()


def test_it_is_the_demo(table):
    assert resolved(from_run_config(table)) == resolved(load_config("demo"))
    assert table["data.cache"] == ""


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_says_nothing_of_methods(table, name):
    """Else it would beat a mode."""
    settings = method_named(name).Settings
    assert from_run_config({**table, "method": name}).settings(settings) == settings()


@pytest.mark.parametrize("mode", known_confs("modes"))
def test_it_leaves_to_a_mode_what_the_mode_decides(table, mode):
    keys = {key.replace("_", "-") for key in flat(read_yaml(find_conf("modes", mode)))}
    assert {table[key] for key in keys} <= {""}
