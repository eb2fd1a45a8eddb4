"""Scores that methods list, together."""

import pytest

from tests.run.builders import METHODS, method_class

OF_THE_JUDGE = {"label_fidelity", "generation_score", "fid"}


@pytest.mark.parametrize("name", METHODS)
def test_what_the_judge_says_is_listed_with_how_often_it_is_right(name):
    listed = set(method_class(name).crossing.scores)
    assert "judge_accuracy" in listed or not listed & OF_THE_JUDGE
