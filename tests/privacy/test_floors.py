"""What an attack that works has at least, and what noise explains."""

import math

import pytest

from huscf_flwr.models import Cut
from huscf_flwr.privacy.floors import floor_of_images, with_noise


@pytest.mark.parametrize(("blocks", "floor"), [(1, 60), (2, 25), (3, 20)])
def test_the_floor_of_the_first_step_is_lower_for_longer_heads(blocks, floor):
    assert floor_of_images(Cut(1, 1, blocks, 1), noise=0.0) == floor


@pytest.mark.parametrize(("spreads", "measured"), [(0.1, 33.6), (0.5, 25.0), (1.0, 20.8), (2.0, 17.6)])
def test_what_was_measured_in_noise_is_not_called_failed(spreads, measured):
    """The table of docs/privacy.md."""
    assert with_noise(60, spreads) < measured


def test_noise_that_is_too_narrow_explains_nothing():
    assert with_noise(60, 1e-9) == 60
    assert with_noise(25, 0.1) == 25
    assert with_noise(60, 0.3) > 20
    assert with_noise(60, 1.0) == -math.inf
