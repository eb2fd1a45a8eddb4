"""Where images can be written is known before any is read."""

import pytest

from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.places import read_place
from huscf_flwr.data.formats.writing import WRITERS, check_writable, write_place
from huscf_flwr.data.images import DataError
from tests.data.formats.writing import same, some

ENDINGS = {
    ".npz": "npz",
    ".NPZ": "npz",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".parquet": "huggingface",
    ".png": "pictures",
    ".idx": "idx",
}


@pytest.mark.parametrize(
    ("form", "ending"), [(form, ending) for form in WRITERS for ending, own in ENDINGS.items() if own != form]
)
def test_a_name_of_another_format_is_refused_and_nothing_is_written(form, ending, tmp_path):
    place, other = tmp_path / f"a{ending}", ENDINGS[ending]
    with pytest.raises(DataError, match=f"like that of {other}, but the format to write is {form};"):
        check_writable(place, form)
    with pytest.raises(DataError, match=f"give another name, or {other}"):
        write_place(place, form, some(6), some(3, seed=1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("form", "ending"), [("npz", ".npz"), ("csv", ".csv"), ("idx", ".idx")])
def test_a_name_of_the_format_itself_will_do(form, ending, tmp_path):
    write_place(tmp_path / f"a{ending}", form, some(6), some(3, seed=1))
    assert same(read_place(tmp_path / f"a{ending}", Wanted()).train, some(6))


@pytest.mark.parametrize("name", ["a", "a.v2", "a.npz.d", "npz", "csv"])
@pytest.mark.parametrize("form", ["pictures", "csv", "idx"])
def test_any_other_name_will_do(form, name, tmp_path):
    write_place(tmp_path / name, form, some(6), some(3, seed=1))
    assert same(read_place(tmp_path / name, Wanted()).train, some(6))
