import pytest

from huscf_flwr.session import Deadlines


@pytest.mark.parametrize(
    ("predicted", "longest", "seconds"),
    [
        (0.1, None, 60),  # processes must start
        (20.0, None, 200),  # a slow device is predicted to need more
        (0.1, 0.2, 5),
        (2.0, 0.2, 20),
        (2.0, 3.0, 30),  # what was measured counts, if it is more
    ],
)
def test_deadlines_are_multiples_of_a_step_but_not_too_short(predicted, longest, seconds):
    deadlines = Deadlines(first_step_s=60, least_s=5, factor=10, predicted_step_s=predicted)
    assert deadlines(longest) == pytest.approx(seconds)
