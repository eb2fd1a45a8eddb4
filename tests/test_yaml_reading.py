import pytest
import yaml
from pydantic import BaseModel

from huscf_flwr.yaml_reading import RepeatedKeyError, parse_yaml, texts_of


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
