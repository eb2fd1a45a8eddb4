"""The table of a scenario's keys in docs/configuration.md is that of the schema, and its example is right."""

import re
import textwrap
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from huscf_flwr.config import load_config
from huscf_flwr.data import following_data, population_of
from huscf_flwr.data.scenarios import Scenario, load_scenario
from huscf_flwr.models import model_spec_of
from tests.data.formats.writing import some, write_pictures

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text("utf-8")
SECTION = PAGE.split("### A scenario of your own\n")[1].split("\n### ")[0]
ROWS = {row[1]: row[2] for row in re.finditer(r"^\| `([a-z_.]+)` \|.*?\| (.*?) \|", SECTION, re.MULTILINE)}
NOTHING = {"none", "empty", "what the images say", "the one that there is", "all have their full amount"}
"""How the table says that nothing need be written, and no value stands for it."""


def models_in(annotation):
    """The models that a value may be: it, or those in a list, a union, or beside None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for each in get_args(annotation) for model in models_in(each)]


def fields_of(model, above=""):
    """All fields by dotted key; of a choice by kind those of each kind, the last of which stays."""
    found = {}
    for name, field in model.model_fields.items():
        found[above + name] = field
        for each in models_in(field.annotation):
            found |= {
                key: field
                for key, field in fields_of(each, f"{above}{name}.").items()
                if key not in found or not field.is_required()
            }
    return found


FIELDS = fields_of(Scenario)


def test_it_names_exactly_the_keys_that_there_are():
    assert set(ROWS) == set(FIELDS)
    assert {"domains.folder", "labels.alpha", "partitioner.kind", "sizes.odds"} < set(FIELDS)


@pytest.mark.parametrize("key", sorted(FIELDS))
def test_it_says_what_must_be_written_and_what_each_is_otherwise(key):
    said = ROWS[key]
    # Which kind a choice by kind has, each of them must say.
    if FIELDS[key].is_required() and key != "labels.kind":
        assert said == "must be written"
    elif said in NOTHING:
        default = FIELDS[key].default
        assert default in (None, "", ()) or default == type(default)()
    else:
        default = FIELDS[key].get_default()
        plain = default.model_dump(mode="json") if isinstance(default, BaseModel) else default
        written = yaml.safe_load(said.strip("`"))
        assert (list(plain) if isinstance(plain, tuple) else plain) == written


def test_its_example_is_a_scenario(tmp_path):
    example = re.search(r"```yaml\n(.*?)```", SECTION, re.DOTALL)[1]
    (tmp_path / "my-scenario.yaml").write_text(textwrap.dedent(example))
    scenario = load_scenario(tmp_path / "my-scenario.yaml")
    assert scenario.domain_names == ("mnist", "photos")
    assert scenario.labels.kind == "excluded"


def test_the_run_of_ones_own_images_takes_their_networks_and_every_image_goes_to_a_client(
    tmp_path, monkeypatch
):
    written = PAGE.split("`mine.yaml` lies beside the folder, and is\n\n```\n")[1].split("```")[0]
    (tmp_path / "mine.yaml").write_text(written)
    write_pictures(tmp_path / "photos", some(90, channels=3, size=32), names=("ant", "bee", "cow"))
    monkeypatch.chdir(tmp_path)
    config = following_data(load_config("mine.yaml"))
    population = population_of(config, model_spec_of(config))
    assert population.domains["photos"].class_names == ("ant", "bee", "cow")
    assert population.images_of(3).images.shape[1:] == (3, 32, 32)
    assert population.unheld == ()
