"""Slow reading is told of after some seconds, now and then; quick reading never."""

import pytest

from huscf_flwr.data.progress import Paced, counted, progress_told


class Clock:
    """Each look at it takes a second."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_lines_come_after_some_seconds_and_then_now_and_then():
    lines = []
    with progress_told(Paced(lines.append, patience=3, every=10, clock=Clock())):
        assert list(counted(range(30), 30, "reading x")) == list(range(30))
    assert lines == ["reading x: 3 of 30", "reading x: 13 of 30", "reading x: 23 of 30"]


def test_what_is_read_later_begins_anew():
    lines, clock = [], Clock()
    with progress_told(Paced(lines.append, patience=3, every=10, clock=clock)):
        for place in "xy":
            list(counted(range(5), None, f"reading {place}", each=1000))
            clock.now += 100
    assert lines == ["reading x: 3,000", "reading y: 3,000"]


def test_many_small_parts_are_told_as_one_large_one_is():
    """Each of them is done in three looks at the clock."""
    lines = []
    with progress_told(Paced(lines.append, patience=3, every=10, clock=Clock())):
        for part in range(9):
            list(counted("ab", 2, f"reading part {part}"))
    assert lines == ["reading part 1: 1 of 2", "reading part 5: 1 of 2"]


@pytest.mark.parametrize("total", [60, None])
def test_a_part_that_is_done_at_once_is_not_told_however_late_it_comes(total):
    """As pictures that are drawn after each round: of none and of all there is nothing to say."""
    lines, clock = [], Clock()
    with progress_told(Paced(lines.append, patience=3, every=10, clock=clock)):
        for _ in range(5):
            list(counted(["all"], total and 60, "drawing", each=60))
            clock.now += 1.5
    assert lines == [] if total else all(": 0" not in line for line in lines)


def test_a_single_item_that_takes_long_is_told_when_it_is_done():
    lines, clock = [], Clock()
    with progress_told(Paced(lines.append, patience=3, every=10, clock=clock)):
        for _ in counted("abc", 3, "looking"):
            clock.now += 20
    assert lines == ["looking: 1 of 3", "looking: 2 of 3", "looking: 3 of 3"]


def test_what_is_quick_is_not_told():
    lines = []
    with progress_told(Paced(lines.append, clock=lambda: 0.0)):
        list(counted(range(1000), 1000, "reading x"))
    assert lines == []


def test_nobody_is_told_after_the_block():
    told = []
    with progress_told(lambda *each: told.append(each)):
        assert list(counted("ab", 2, "x")) == ["a", "b"]
    assert list(counted("ab", 2, "x")) == ["a", "b"]
    assert told == [("x", 0, 2), ("x", 1, 2), ("x", 2, 2)]


def test_an_error_in_the_block_ends_the_telling():
    told = []
    with pytest.raises(ZeroDivisionError), progress_told(lambda *each: told.append(each)):
        _ = 1 / 0
    list(counted("ab", 2, "x"))
    assert told == []
