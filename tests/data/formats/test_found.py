"""What every format checks alike."""

import numpy as np
import pytest

from huscf_flwr.data.formats.found import OtherClassesError, check_labels


@pytest.mark.parametrize("limit", [None, 1, 3])
@pytest.mark.parametrize("label", [-1, -7])
def test_of_a_negative_label_it_is_said_what_helps_and_nothing_else(label, limit):
    with pytest.raises(OtherClassesError) as told:
        check_labels(np.array([0, label, 1]), limit, "a.npz")
    assert str(told.value) == (
        f"a.npz: label {label} of sample 1 is out of range, labels count from 0: remove samples that have no "
        "class, or number the classes from 0"
    )


def test_labels_that_are_ids_are_said_to_be_none():
    """By the largest number that a class can have, which passes."""
    check_labels(np.array([0, 65_535]), None, "a.npz")
    with pytest.raises(OtherClassesError) as told:
        check_labels(np.array([0, 65_536]), None, "a.npz")
    assert str(told.value) == (
        "a.npz: label 65536 of sample 1 is out of range, and too large for a class, whose number is at most "
        "65,535: give the numbers of the classes, if these are something else, such as ids"
    )
