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
    with pytest.raises(
        OtherClassesError, match=r"label 70000 of sample 1 .*too large for a class: .*ids"
    ) as told:
        check_labels(np.array([0, 70000]), None, "a.npz")
    assert "65535" not in str(told.value)
