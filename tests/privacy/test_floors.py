"""What an attack that works has at least, and what noise explains."""

import math

import pytest

from huscf_flwr.models import Cut
from huscf_flwr.privacy.floors import floor_of_images, floor_of_labels, floor_of_trap, with_noise

MEAN = 12.5
"""Decibel of the mean image of the digits of docs/privacy.md."""


@pytest.mark.parametrize(("blocks", "floor"), [(1, 60), (2, 25), (3, 20)])
def test_the_floor_of_the_first_step_is_lower_for_longer_heads(blocks, floor):
    assert floor_of_images(Cut(1, 1, blocks, 1), 0.0, MEAN) == floor


def test_clips_lower_the_floor_of_the_closed_form_alone():
    clipped = [floor_of_images(Cut(1, 1, n, 1), 0.0, MEAN, is_clipped=True) for n in (1, 2, 3)]
    assert clipped == [35, 25, 20]


@pytest.mark.parametrize(("blocks", "floor"), [(1, 25), (2, 18), (3, -math.inf)])
def test_later_in_a_round_it_is_lower_and_nobody_has_measured_it_for_long_heads(blocks, floor):
    assert floor_of_images(Cut(1, 1, blocks, 1), 0.0, MEAN, first=False) == floor


@pytest.mark.parametrize(
    ("spreads", "measured", "far_below"),
    [(0.1, 33.6, 29.5), (0.5, 25.0, 20.0), (1.0, 20.8, 12.0), (2.0, 17.6, 12.0), (8.0, 12.6, 11.9)],
)
def test_what_was_measured_in_noise_is_not_called_failed_and_what_is_far_below_is(
    spreads, measured, far_below
):
    """The table of docs/privacy.md; from one spread on, the mean image is far below."""
    assert far_below < with_noise(60, spreads, MEAN) <= measured


@pytest.mark.parametrize(("spreads", "measured"), [(0.1, 27.9), (1.0, 17.0), (2.0, 14.5)])
def test_a_trap_has_less_in_the_same_noise_and_40_without(spreads, measured):
    assert MEAN - 1 < floor_of_trap(spreads, MEAN) < measured
    assert floor_of_trap(0.0, MEAN) == 40


def test_noise_that_is_too_narrow_explains_nothing():
    assert with_noise(60, 1e-9, MEAN) == 60
    assert with_noise(25, 0.1, MEAN) == 25
    assert with_noise(60, 0.3, MEAN) > 20


@pytest.mark.parametrize("spreads", [0.5, 1.0, 2.0])
def test_no_noise_explains_less_than_the_mean_image(spreads):
    """Of images so alike that their mean has more than noise of half a spread leaves of digits."""
    assert with_noise(60, spreads, 30.0) == 30
    assert with_noise(60, 4.0, 30.0) == 29.5


@pytest.mark.parametrize(("noise", "measured"), [(0, 1.0), (2, 1.0), (4, 1.0), (8, 31 / 32)])
def test_labels_are_read_in_any_noise_that_was_measured(noise, measured):
    assert 0.9 <= floor_of_labels(noise) <= measured
