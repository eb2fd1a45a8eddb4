"""`huscf settings`: all that a run can be told, in the terminal, for programs and as a page."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from huscf_flwr.commands.main import app
from huscf_flwr.commands.settings import SettingsFormat
from huscf_flwr.config import RunConfig, common_sections, to_run_config
from huscf_flwr.methods import BUILT_IN, resolved
from tests.commands.invoking import invoke, refused, succeeded

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
KEYS = {key.replace("-", "_") for name in BUILT_IN for key in to_run_config(resolved(RunConfig(method=name)))}


def shown(*words):
    """What the terminal shows, with its lines joined."""
    return " ".join(succeeded(invoke("settings", *words)).split())


def listed(*words):
    return json.loads(succeeded(invoke("settings", *words, "--format", "json")))


def keys(*words):
    return [each["key"] for each in listed(*words)]


def test_it_shows_every_setting_below_its_section():
    lines = succeeded(invoke("settings")).splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ") and line.split()} >= KEYS
    assert set(lines) >= {"without a section", *common_sections(), *BUILT_IN}


def test_programs_get_the_same_with_defaults_as_they_are():
    found = {each["key"]: each for each in listed()}
    assert set(found) == KEYS
    assert [found[key]["default"] for key in ("rounds", "model.classes", "tensorboard", "wire.preset")] == [
        *(10, None, False, "exact")
    ]
    assert found["model.width"]["section"] == "model"
    assert found["rounds"]["section"] == ""


def test_the_page_is_what_it_writes():
    written = succeeded(invoke("settings", "--format", SettingsFormat.MARKDOWN))
    assert PAGE.read_text("utf-8") == written, "huscf settings --format markdown > docs/settings.md"


def test_a_part_of_the_page_has_no_head_of_the_whole():
    found = succeeded(invoke("settings", "wire", "--format", SettingsFormat.MARKDOWN))
    assert found.startswith("## wire\n")
    assert found.strip() in PAGE.read_text("utf-8")


def test_a_section_is_shown_with_a_sentence_for_each_setting():
    found = shown("wire")
    assert found.startswith("wire How activations and gradients cross")
    assert "wire.preset How exactly activations and gradients cross in a session. `auto`," in found
    assert "default `exact`" in found
    assert "all that is said of a setting" in found
    assert "wire.uploads" in found
    assert "model.width" not in found


def test_a_setting_that_is_named_is_shown_whole_and_alone():
    found = shown("wire.preset")
    assert "`small`: packed, activations in 8 bits, gradients in 4." in found
    assert "`auto`, `exact`, `half`, `small` or `smallest`; default `exact`" in found
    assert "all that is said of a setting" not in found
    assert "How activations" not in found
    assert "wire.uploads" not in found


def test_a_section_without_settings_says_so():
    assert "No settings of its own" in shown("uagan")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["checkpoint"], ["checkpoint.keep_last"]),
        (["local-epochs"], ["local_epochs"]),
        (["wire.uploads", "rounds"], ["wire.uploads", "rounds"]),
        (["epsilon"], ["privacy.epsilon"]),
        (["clusters"], ["huscf.clusters", "hflgan.clusters"]),
        (["tests.methods.two_exchanges:TwoExchanges"], ["two_exchanges.steps"]),
        (["rounds", "rounds"], ["rounds"]),
    ],
)
def test_words_name_sections_keys_the_last_part_of_keys_and_classes(words, named):
    assert keys(*words) == named


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.widht", "'model.widht' is no setting and no section (did you mean 'model.width'?)"),
        ("widht", "'widht' is no setting and no section (did you mean 'model.width'?)"),
        ("privcy", "'privcy' is no setting and no section (did you mean 'privacy'?)"),
        ("xyzzy", "'xyzzy' is no setting and no section; huscf settings shows all"),
        ("", "'' is no setting and no section; huscf settings shows all"),
        ("my_package.mine:Mine", "the module my_package.mine cannot be imported"),
    ],
)
def test_a_word_that_names_nothing_is_refused_in_a_line(word, message):
    output = refused(invoke("settings", "wire", word))
    assert message in output
    assert len(output.splitlines()) == 1


def test_a_narrow_terminal_folds_what_is_said_and_never_a_key():
    said = ["settings", "fedvtc.decoder_learning_rate", "huscf.clusters_in_plain_rounds"]
    output = succeeded(CliRunner().invoke(app, said, env={"COLUMNS": "50"}))
    assert {"fedvtc.decoder_learning_rate", "huscf.clusters_in_plain_rounds"} <= set(output.split())
    assert max(map(len, output.splitlines())) <= 50
