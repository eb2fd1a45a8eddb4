import pytest

from huscf_flwr.run.mistakes import MistakeError, mistakes_told, told


def test_an_error_that_was_worded_stays_as_it_is():
    worded = ValueError("rounds: 0")
    with pytest.raises(ValueError, match=r"^rounds: 0$") as caught, mistakes_told():
        raise worded
    assert caught.value is worded
    assert told(worded) == "rounds: 0"


@pytest.mark.parametrize("mistake", [KeyError("head"), RuntimeError("shapes"), AttributeError("nothing")])
def test_another_is_told_with_its_type_and_place(mistake):
    kind = type(mistake).__name__
    place = rf"^{kind}: .*test_mistakes\.py:\d+, in test_another"
    with pytest.raises(MistakeError, match=place) as caught, mistakes_told():
        raise mistake
    assert caught.value.__cause__ is mistake
