"""The list of settings: it has all of them, with the values that they take, and something is said of each."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, NonNegativeInt, PositiveInt

from huscf_flwr.conf_files import known_confs
from huscf_flwr.config import (
    MethodSettings,
    RunConfig,
    common_sections,
    common_settings,
    described_settings,
    to_run_config,
)
from huscf_flwr.config.described import Setting
from huscf_flwr.config.sections import CutNumbers, NameList, Section
from huscf_flwr.methods import BUILT_IN, method_named, resolved

OF_METHODS = {name: method_named(name).Settings for name in BUILT_IN}
GROUPS = (*common_settings(), *(described_settings(kind, name) for name, kind in OF_METHODS.items()))
CLASSES = {"": RunConfig, **common_sections(), **OF_METHODS}
SETTINGS = {each.key: each for group in GROUPS for each in group.settings}


def keys_of(config):
    """All that Flower carries of a configuration, as ``--set`` writes it."""
    return {key.replace("-", "_") for key in to_run_config(config)}


def test_every_setting_that_flower_carries_is_listed_and_no_other():
    carried = {key for name in BUILT_IN for key in keys_of(resolved(RunConfig(method=name)))}
    assert {"rounds", "model.width", "privacy.epsilon", "fedvtc.tuning"} < carried
    assert set(SETTINGS) == carried
    assert len(SETTINGS) == sum(len(group.settings) for group in GROUPS)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.section or "alone")
def test_every_section_is_introduced(group):
    assert group.introduction.endswith(".")
    assert "``" not in group.introduction


@pytest.mark.parametrize("key", SETTINGS)
def test_what_is_said_of_a_setting_can_be_read_alone(key):
    """It is a sentence on its own, not the rest of one, and leads nowhere into the code."""
    said = SETTINGS[key].description
    assert re.match(r"[A-Z`0-9]", said)
    assert said.endswith((".", ".)"))
    # What the first sentence leaves open is what choosing one of the values would mean.
    assert not re.match(r"(Of|In|To|By) |`[^`]+`:", said)
    assert not re.search(r"``|\bNone\b|\bFalse\b|huscf_flwr[.]|see there", said)
    assert said.count("`") % 2 == 0


@pytest.mark.parametrize(("key", "names"), [("method", BUILT_IN), ("mode", known_confs("modes"))])
def test_all_that_can_be_named_is_named(key, names):
    assert set(re.findall(r"`(\w+)`", SETTINGS[key].description)) >= set(names)


@pytest.mark.parametrize("key", SETTINGS)
def test_the_first_sentence_is_whole(key):
    setting = SETTINGS[key]
    assert setting.description.startswith(setting.summary)
    assert setting.summary.endswith((".", ".)"))
    assert setting.summary.count("`") % 2 == 0
    assert setting.summary.count("(") == setting.summary.count(")")


@pytest.mark.parametrize("key", SETTINGS)
def test_words_and_defaults_that_are_listed_are_taken(key):
    setting = SETTINGS[key]
    section, _, leaf = key.rpartition(".")
    words = [yaml.safe_load(word) for word in re.findall(r"`([^`]*)`", setting.values)]
    for value in [setting.default, *words]:
        found = getattr(CLASSES[section].model_validate({leaf: value}), leaf)
        assert found == value or (isinstance(found, Path) and str(found) == value)


class Sign(StrEnum):
    """Of a method of one's own."""

    PLUS = "plus"
    MINUS = "minus"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "whole number"),
        (PositiveInt, "whole number from 1"),
        (NonNegativeInt | None, "whole number from 0 or `null`"),
        (Annotated[float, Field(gt=0, le=1)], "number above 0, up to 1"),
        (Annotated[float, Field(ge=0.5, lt=30)], "number from 0.5, below 30"),
        (bool, "`true` or `false`"),
        (str | None, "text or `null`"),
        (Literal["a", "b", "c"], "`a`, `b` or `c`"),
        (Literal["only"] | PositiveInt, "`only` or whole number from 1"),
        (Literal[1, 3] | None, "`1`, `3` or `null`"),
        (NameList, "list of texts"),
        (CutNumbers | None, "list of 4 whole numbers or `null`"),
        (tuple[float, ...], "list of numbers"),
        (dict[str, int], "keys with values"),
        (Sign, "`plus` or `minus`"),
        (Sign | None, "`plus`, `minus` or `null`"),
    ],
)
def test_values_in_words(annotation, words):
    kind = type("Mine", (Section,), {"__annotations__": {"it": annotation}, "__module__": __name__})
    (setting,) = described_settings(kind).settings
    assert setting.values == words
    assert setting.is_required


class Base(MethodSettings):
    """Of a base class.

    It has two paragraphs.

    Attributes:
        kept: what the base
            says, with ``code``. More of it: and more.
        said_anew: the old text.
    """

    section = "base"

    kept: int = 1
    said_anew: int = 2


class Derived(Base):
    """Of a derived class.

    Attributes:
        said_anew: the new text.
    """

    silent: int = 3


def test_a_derived_section_says_what_its_base_does_not_and_silence_is_no_error():
    base, derived = described_settings(Base, "mine"), described_settings(Derived, "mine")
    assert base.introduction == "Of a base class. It has two paragraphs."
    assert derived.introduction == "Of a derived class."
    assert {each.key: each.description for each in derived.settings} == {
        "mine.kept": "What the base says, with `code`. More of it: and more.",
        "mine.said_anew": "The new text.",
        "mine.silent": "",
    }


SENTENCES = st.from_regex(r"[A-Z][a-z]{1,8}( [a-z0-9.]{0,5}[a-z]){0,4}[.]", fullmatch=True)


@given(st.lists(SENTENCES, min_size=1))
def test_a_summary_is_the_first_of_several_sentences(sentences):
    described = " ".join(sentences)
    setting = Setting(key="it", values="text", default="", is_required=False, description=described)
    assert setting.summary == sentences[0]
