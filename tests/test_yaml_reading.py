import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from huscf_flwr.yaml_reading import RepeatedKeyError, fault_of, parse_yaml, texts_of


class Inner(BaseModel):
    label: str | None = None
    count: int | None = None


class Outer(BaseModel):
    name: str
    names: tuple[str, ...] = ()
    inner: Inner = Inner()
    several: list[Inner] = []
    either: int | str = 0


def test_texts_are_found_at_any_depth():
    assert texts_of(Outer) == {"name", "names", "inner.label", "several.label"}


def test_texts_stay_what_is_written_and_nothing_stays_nothing():
    text = "{name: 007, names: [1, on], inner: {label: ~, count: 7}, several: [{label: 1.0}], either: 3}"
    assert parse_yaml(text, texts_of(Outer)) == {
        "name": "007",
        "names": ["1", "on"],
        "inner": {"label": None, "count": 7},
        "several": [{"label": "1.0"}],
        "either": 3,
    }


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "c:\n- {a: 1, b: 1, a: 1}", "{a: 1, b: 1, a: 1}"])
def test_a_key_that_stands_twice_is_refused_with_its_line(text):
    with pytest.raises(RepeatedKeyError, match=r"line \d: 'a' is in line \d already"):
        parse_yaml(text)


def test_anchors_may_be_used_again():
    found = parse_yaml("a: &x {b: 1}\nc: *x\nd: {<<: *x, b: 2}")
    assert found == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2}}


@pytest.mark.parametrize("text", ["", "3", "[1, 2.5, true, null]", "{a: {b: 2024-01-01}}", "'007'"])
def test_all_else_is_as_yaml_has_it(text):
    assert parse_yaml(text) == yaml.safe_load(text)


BROKEN = {
    "rounds: [1\n": ("line 2, column 1", "expected ',' or ']', found the end, for what begins in line 1"),
    "a: [1, 2]]": ("line 1, column 10", "expected the end of the line, found ']'"),
    "a: b: c": ("line 1, column 5", "no 'key: value' can stand there"),
    "a: 1\n  b: 2": ("line 2, column 4", "the same indentation"),
    "a:\n  b: 1\n c: 2": ("line 3, column 2", "expected a line that is indented as those above"),
    "a:\n\tb: 1": ("line 2, column 1", "indent with spaces"),
    "a: 'x\nb: 1": ("line 2, column 5", "expected the quote that closes a text, for what begins in line 1"),
    "a: @x": ("line 1, column 4", "found '@': write a text that begins with it in quotes"),
    "a: *x": ("line 1, column 4", "undefined alias 'x'"),
    "a: 1\nrounds 3\nb: 2": ("line 2, column 1", "expected 'key: value', with a colon"),
    "a: 1\n---\nb: 2": ("line 2, column 1", "expected a single document in the stream, but found another"),
    "a: 1\nb: 1\na: 2": ("line 3", "'a' is in line 1 already"),
    "a: \x07": ("", "character 4 is U+0007: remove it"),
    "a: 2024-13-45": ("", "month must be in 1..12"),
    "a: !!int x": ("", "'x'"),
    "{[1]: 2}": ("line 1, column 2", "unhashable key"),
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_broken_is_told_in_one_line_with_its_place_and_what_was_expected(text):
    with pytest.raises(yaml.YAMLError) as broken:
        parse_yaml(text)
    where, told = fault_of(broken.value)
    assert where == BROKEN[text][0]
    assert BROKEN[text][1] in told
    assert "\n" not in told
    assert "unicode string" not in told


@given(st.text("ab:-[]{}'\"\\n\t #&*!|>%@,0", max_size=30))
def test_whatever_somebody_writes_is_read_or_told_in_one_line(text):
    try:
        parse_yaml(text)
    except yaml.YAMLError as error:
        assert not any("\n" in part or "<unicode" in part for part in fault_of(error))
