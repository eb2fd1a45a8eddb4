import numpy
import pytest
import torch

from huscf_flwr.conf_files import ConfError
from huscf_flwr.run.mistakes import MistakeError, mistakes_told, told


def test_an_error_that_was_worded_stays_as_it_is():
    worded = ConfError("rounds: 0")
    with pytest.raises(ConfError, match=r"^rounds: 0$") as caught, mistakes_told():
        raise worded
    assert caught.value is worded
    assert told(worded) == "rounds: 0"


def test_a_mistake_that_a_library_finds_is_told_where_it_was_made():
    for mistake in (
        lambda: torch.nn.Linear(2, 3)(torch.ones(1, 5)),
        lambda: numpy.concatenate([]),
        lambda: 1 / 0,
    ):
        place = r"^\w+Error: .*test_mistakes\.py:\d+, in <lambda>\)$"
        with pytest.raises(MistakeError, match=place), mistakes_told():
            mistake()


@pytest.mark.parametrize("mistake", [KeyError("head"), RuntimeError("shapes"), ValueError("unpacked")])
def test_another_is_told_with_its_type_and_place(mistake):
    kind = type(mistake).__name__
    place = rf"^{kind}: .*test_mistakes\.py:\d+, in test_another"
    with pytest.raises(MistakeError, match=place) as caught, mistakes_told():
        raise mistake
    assert caught.value.__cause__ is mistake
