import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.flower.messages.records import (
    Reading,
    facts_record,
    numbers_record,
    parts_records,
    read_facts,
    tensors_record,
)
from huscf_flwr.methods.contract import CrossingError, Facts, NoFacts
from tests.flower.in_process_grid import crossed
from tests.flower.messages.methods import Place, Told

finite = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**62), 2**62)
places = st.builds(Place, x=finite, y=st.none() | finite)
facts = st.builds(
    Told,
    cut=st.lists(integers).map(tuple),
    shares=st.lists(finite).map(tuple),
    place=st.none() | places,
    name=st.text(max_size=9),
    is_last=st.booleans(),
)


def there_and_back(told):
    records = crossed(RecordDict({"facts": facts_record(told)}))
    return read_facts(records.config_records["facts"], type(told), "facts")


@given(facts)
def test_facts_cross_as_they_are(told):
    assert there_and_back(told) == told


def test_nested_facts_have_dotted_keys_and_what_is_none_is_left_out():
    record = facts_record(Told(cut=(1, 2), place=Place(x=3.0)))
    assert dict(record) == {"cut": [1, 2], "shares": [], "place.x": 3.0, "name": "", "is_last": False}


def test_no_facts_are_a_record_without_keys():
    assert dict(facts_record(NoFacts())) == {}
    assert there_and_back(NoFacts()) == NoFacts()


class Named(Facts):
    by_name: dict[str, float]


def test_names_that_cannot_be_told_from_nested_ones_are_refused():
    assert there_and_back(Named(by_name={"a": 1.0})) == Named(by_name={"a": 1.0})
    with pytest.raises(CrossingError, match=r"by_name\.a\.b: a name with a dot"):
        facts_record(Named(by_name={"a.b": 1.0}))


class Odd(Facts):
    """What Flower's records cannot hold, or what would not be read as it was."""

    pairs: tuple[tuple[int, int], ...] = ()
    mixed: tuple[int | str, ...] = ()
    by_name: dict[str, float] | None = None
    note: str | None = "something"


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        ({"pairs": ((1, 2),)}, "Odd cannot cross: Not all values are of valid type"),
        ({"mixed": (1, "a")}, "Odd cannot cross: All values in a list must be of the same"),
        ({"by_name": {}}, "Odd cannot cross: it would not be read as it is"),
        ({"note": None}, "Odd cannot cross: it would not be read as it is"),
    ],
)
def test_facts_that_could_not_be_read_again_are_not_sent(odd, problem):
    assert there_and_back(Odd()) == Odd()
    with pytest.raises(CrossingError, match=problem):
        facts_record(Odd(**odd))


def test_facts_within_facts_that_say_nothing_are_not_sent():
    class Within(Facts):
        nothing: NoFacts

    with pytest.raises(CrossingError, match=r"what would cross of Within is no Within: nothing: Field requ"):
        facts_record(Within(nothing=NoFacts()))


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"cut": ["3"]}, r"cut\.0: Input should be a valid integer"),
        ({"cut": [3.0]}, r"cut\.0: Input should be a valid integer"),
        ({"cut": [True]}, r"cut\.0: Input should be a valid integer"),
        ({"cut": 3}, "cut: Input should be a valid array"),
        ({"cut": [], "is_last": "yes"}, "is_last: Input should be a valid boolean"),
        ({"cut": [], "is_last": 1}, "is_last: Input should be a valid boolean"),
        ({"cut": [], "name": 3}, "name: Input should be a valid string"),
        ({"cut": [], "name": b"three"}, "told is no Told: it has bytes"),
        ({"cut": [], "place.x": "3"}, r"place\.x: Input should be a valid number"),
        ({"cut": [], "place.x": True}, r"place\.x: Input should be a valid number"),
    ],
)
def test_facts_of_another_type_are_refused(record, problem):
    with pytest.raises(CrossingError, match=problem):
        read_facts(ConfigRecord(record), Told, "told")


def test_lists_stand_for_tuples_and_integers_for_floats():
    record = ConfigRecord({"cut": [1, 2], "shares": [1, 2], "place.x": 3})
    found = read_facts(record, Told, "told")
    assert found == Told(cut=(1, 2), shares=(1.0, 2.0), place=Place(x=3.0))
    assert [type(share) for share in found.shares] == [float, float]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"x": 1.0, "label": 3}, "label: Extra inputs are not permitted"),
        ({"y": 1.0}, "x: Field required"),
        ({"x": "far"}, "x: Input should be a valid number"),
        ({"x": float("nan")}, "x: Input should be a finite number"),
        ({"x": 1.0, "y.z": 1.0}, "y: Input should be a valid number"),
        ({"x": 1.0, "x.z": 1.0}, "x.z: 'x' is a value"),
        ({}, "x: Field required"),
    ],
)
def test_facts_that_are_not_as_listed_are_refused(record, problem):
    with pytest.raises(CrossingError, match=problem):
        read_facts(ConfigRecord(record), Place, "place/3")


def test_what_was_found_is_not_repeated_in_the_error():
    """It may be what must not be seen."""
    with pytest.raises(CrossingError) as refused:
        read_facts(ConfigRecord({"x": "mnist", "secret": "mnist"}), Place, "place/3")
    assert "mnist" not in str(refused.value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last),
        torch.tensor(7),
        torch.zeros(0, 3),
        torch.arange(6).view(2, 3).t(),
        torch.ones(2, requires_grad=True),
    ],
)
def test_tensors_cross_whatever_their_type_and_layout(tensor):
    records = crossed(RecordDict({"product/model": tensors_record({"a.b": tensor})}))
    (found,) = Reading(records).tensors("product/model").values()
    assert found.dtype == tensor.dtype
    assert torch.equal(found, tensor)


kinds = st.text(st.characters(exclude_characters="/\n", exclude_categories=["Cs"]), min_size=1, max_size=5)
scopes = st.lists(kinds, min_size=1, max_size=3).map("/".join)
parts = st.dictionaries(
    kinds, st.dictionaries(st.text(max_size=5), st.integers(0, 9).map(torch.tensor), max_size=2), max_size=3
)


@given(st.dictionaries(scopes, parts, max_size=3))
def test_tensors_are_found_by_whose_they_are_and_by_kind(sent):
    """A kind without tensors is a kind all the same."""
    records = RecordDict()
    for whose, each in sent.items():
        records.update(parts_records(f"group/{whose}", each))
    reading = Reading(crossed(records))
    assert reading.parts("group") == {whose: each for whose, each in sent.items() if each}
    reading.end()


def test_numbers_that_are_not_listed_are_refused_on_both_sides():
    with pytest.raises(CrossingError, match=r"scores has \['fid'\], the method lists \['f1'\]"):
        numbers_record({"fid": 1.0}, ["f1"], "scores")
    records = RecordDict({"scores": MetricRecord({"fid": 1.0})})
    with pytest.raises(CrossingError, match=r"scores has \['fid'\], the method lists \['f1'\]"):
        Reading(records).numbers("scores", ["f1"])


def test_lists_are_no_numbers():
    with pytest.raises(CrossingError, match=r"f1 is \[1.0\], which is not a number"):
        Reading(RecordDict({"scores": MetricRecord({"f1": [1.0]})})).numbers("scores", ["f1"])


def test_what_nobody_takes_is_refused():
    reading = Reading(RecordDict({"place/3": facts_record(Place(x=1.0)), "place/x": ConfigRecord({})}))
    assert reading.facts_of_clients("place", Place) == {3: Place(x=1.0)}
    with pytest.raises(CrossingError, match=r"a message with \['place/x'\], which are not listed"):
        reading.end()


@pytest.mark.parametrize("name", ["place/03", "place/-3", "place/", "place/3/4", "place/٣"])
def test_a_client_has_one_name(name):
    reading = Reading(RecordDict({name: facts_record(Place(x=1.0))}))
    assert reading.facts_of_clients("place", Place) == {}


@pytest.mark.parametrize("record", [ArrayRecord({}), MetricRecord({"x": 1.0})])
def test_a_record_of_another_type_is_refused(record):
    with pytest.raises(CrossingError, match=r"place is a (Array|Metric)Record, not a ConfigRecord"):
        Reading(RecordDict({"place": record})).facts("place", Place)


def test_what_is_missing_is_named():
    for read in (
        lambda reading: reading.facts("place", Place),
        lambda reading: reading.numbers("place", []),
        lambda reading: reading.tensors("place"),
    ):
        with pytest.raises(CrossingError, match="a message without 'place'"):
            read(Reading(RecordDict()))
    assert Reading(RecordDict()).facts_if_any("place", Place) is None
