"""Numbers as people read them, the same in the terminal and in the report.

What is not known is a dash, never a zero: `None`, not-a-number, infinity, and anything that is no number.
"""

from __future__ import annotations

import math

UNKNOWN = "—"

_BYTE_UNITS = ("kB", "MB", "GB", "TB", "PB")


def known_number(value: object) -> float | None:
    """Return `value` as a float, or `None` if it is not a finite number (or is a truth value)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def decimal(value: object, digits: int = 3) -> str:
    """Return a number with so many decimal places: `0.981`."""
    number = known_number(value)
    return UNKNOWN if number is None else f"{number:.{digits}f}"


def percent(value: object, digits: int = 1) -> str:
    """Return a share of one in percent: `12.5 %`."""
    number = known_number(value)
    return UNKNOWN if number is None else f"{100 * number:.{digits}f} %"


def count(value: object) -> str:
    """Return a whole number with its thousands apart: `12,500`."""
    number = known_number(value)
    return UNKNOWN if number is None else f"{number:,.0f}"


def byte_count(value: object) -> str:
    """Return bytes in decimal units with three figures: `999 B`, `1.23 MB`."""
    number = known_number(value)
    if number is None:
        return UNKNOWN
    if abs(number) < 999.5:
        return f"{number:.0f} B"
    scaled = number / 1000
    units = iter(_BYTE_UNITS)
    unit = next(units)
    while abs(scaled) >= 999.5 and (larger := next(units, None)):
        scaled, unit = scaled / 1000, larger
    digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    return f"{scaled:,.{digits}f} {unit}"


def duration(value: object) -> str:
    """Return seconds as `4.2 s`, `2 min 31 s` or `1 h 05 min`."""
    number = known_number(value)
    if number is None:
        return UNKNOWN
    if number < 59.95:
        return f"{number:.1f} s"
    seconds = round(number)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    minutes = round(number / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
