import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.config import PRESETS
from huscf_flwr.cuts import NoLegalCutError, choose_preset

SECONDS = st.floats(1e-3, 1e3)


@given(st.lists(SECONDS, min_size=len(PRESETS), max_size=len(PRESETS)))
def test_it_is_hardly_slower_than_any_and_no_more_exact_one_is(seconds):
    step_s = dict(zip(PRESETS, seconds, strict=True))
    choice = choose_preset(step_s.__getitem__)
    assert step_s[choice.preset] <= 1.01 * min(seconds)
    more_exact = PRESETS[: PRESETS.index(choice.preset)]
    assert all(step_s[preset] > 1.01 * min(seconds) for preset in more_exact)
    assert choice.step_s == step_s


def test_a_preset_with_which_no_cut_is_legal_is_left_out():
    def step_seconds(preset):
        if preset in ("exact", "half"):
            raise NoLegalCutError("too much energy")
        return 1.0

    choice = choose_preset(step_seconds)
    assert choice.preset == "small"
    assert set(choice.step_s) == {"small", "smallest"}


def test_without_any_legal_cut_the_reason_is_told():
    def step_seconds(_):
        raise NoLegalCutError("too much energy")

    with pytest.raises(NoLegalCutError, match="too much energy"):
        choose_preset(step_seconds)


def test_the_reason_names_all_that_was_compared_and_what_is_kept():
    choice = choose_preset({"exact": 4.0, "half": 3.0, "small": 1.0, "smallest": 0.995}.__getitem__)
    assert choice.told() == (
        "wire.preset: auto is small; predicted for a step: exact 4 s, half 3 s, small 1 s, smallest 0.995 s"
    )
    assert "stays half" in choice.keeping("half").told()
