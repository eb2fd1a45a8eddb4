import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.evaluation import formats

UNKNOWN = [None, math.nan, math.inf, "0.5", True, [1]]


@pytest.mark.parametrize("value", UNKNOWN)
@pytest.mark.parametrize(
    "form", [formats.decimal, formats.percent, formats.count, formats.byte_count, formats.duration]
)
def test_what_is_not_known_is_a_dash(form, value):
    assert form(value) == "—"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (1234, "1.23 kB"),
        (9996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_600, "1.00 MB"),
        (4_100_000_000, "4.10 GB"),
        (5e18, "5,000 PB"),
    ],
)
def test_bytes_have_three_figures(value, text):
    assert formats.byte_count(value) == text


@given(st.integers(0, 10**17))
def test_bytes_can_be_read_back(value):
    number, unit = formats.byte_count(value).split()
    scale = 1000 ** ("B", "kB", "MB", "GB", "TB", "PB").index(unit)
    assert float(number) < 1000
    assert float(number) * scale == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.96, "1 min 00 s"),
        (151.4, "2 min 31 s"),
        (3599.6, "1 h 00 min"),
        (3900, "1 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert formats.duration(seconds) == text


def test_plain_numbers():
    assert formats.decimal(0.98149) == "0.981"
    assert formats.decimal(3, 1) == "3.0"
    assert formats.percent(0.1256) == "12.6 %"
    assert formats.count(12500) == "12,500"
