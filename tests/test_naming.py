"""A list that is cut says so, and no message has one that does not; one is not called several."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.naming import by_count, changes, first_few, nearest
from tests.test_house import PACKAGES, ROOT, python_files

BETWEEN_NAMES = {", ", "; ", " and ", " or "}


@given(st.integers(0, 3000), st.integers(1, 20))
def test_all_are_named_or_counted(count, most):
    names = [f"n{place}" for place in range(count)]
    shown, _, more = first_few(names, most).partition(" and ")
    assert (shown.split(", ") if shown else []) == names[:most]
    assert more == ("" if count <= most else f"{count - most:,} more")


def test_one_has_words_of_its_own():
    assert [by_count(count, "image is", "images are") for count in range(3)] == [
        "images are",
        "image is",
        "images are",
    ]


WORDS = st.text("abc", max_size=6)


@given(WORDS, st.integers(0, 4))
def test_two_neighbours_that_are_swapped_are_one_change(word, place):
    swapped = word[:place] + word[place : place + 2][::-1] + word[place + 2 :]
    assert changes(word, swapped) == (word != swapped)


@given(WORDS, WORDS)
def test_changes_are_the_fewest_that_a_search_finds(word, other):
    # By brute force, from the ends: equal letters cost nothing, and every kind of change one.
    def fewest(one, two):
        if not one or not two:
            return len(one) + len(two)
        ways = [
            fewest(one[1:], two) + 1,
            fewest(one, two[1:]) + 1,
            fewest(one[1:], two[1:]) + (one[0] != two[0]),
        ]
        if len(one) > 1 and len(two) > 1 and one[:2] == two[1::-1]:
            ways.append(fewest(one[2:], two[2:]) + 1)
        return min(ways)

    assert changes(word[:4], other[:4]) == fewest(word[:4], other[:4])


@given(st.sampled_from(["fedgan", "fedgen", "mdgan", "huscf", "local"]), st.data())
def test_a_word_with_two_letters_swapped_is_found(word, data):
    place = data.draw(st.integers(0, len(word) - 2))
    swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    known = ["fedgen", "fedgan", "fsgan", "mdgan", "huscf", "local", "central"]
    assert nearest(swapped, known, 0.5) == word


def test_beyond_two_changes_the_order_is_that_of_likeness():
    assert nearest("epochs", ["steps", "local_epochs"], 0.4) == "local_epochs"
    assert nearest("xyz", ["steps", "local_epochs"], 0.5) is None


def cut_lists(source):
    """Lines that join the beginning of a list as names are joined."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "join"
        and getattr(node.func.value, "value", None) in BETWEEN_NAMES
        and any(
            isinstance(each, ast.Slice) and each.lower is None and each.upper is not None
            for argument in node.args
            for each in ast.walk(argument)
        )
    ]


@pytest.mark.parametrize(
    "source",
    [
        "', '.join(names[:5])",
        "', '.join([*names[:MOST], *rest])",
        "f\"{'; '.join(str(each) for each in names[:5])}\"",
        "', '.join(each.name for each in folders(parts)[:5])",
    ],
)
def test_cut_lists_are_found(source):
    assert cut_lists(source) == [1]


@pytest.mark.parametrize("source", ["', '.join(names)", "', '.join(names[1:])", "''.join(names[:5])"])
def test_whole_lists_are_none(source):
    assert cut_lists(source) == []


@pytest.mark.parametrize("path", python_files(*PACKAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_list_of_names_is_cut_without_saying_so(path):
    """`first_few` says how many more there are."""
    assert path.name == "naming.py" or cut_lists(path.read_text("utf-8")) == []
