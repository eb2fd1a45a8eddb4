import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.methods.named_tensors import below_prefix, with_prefix

NAMES = st.lists(st.text("ab./", min_size=1, max_size=4), unique=True, max_size=4)


def named(names):
    return {name: torch.tensor(float(place)) for place, name in enumerate(names)}


@given(NAMES, NAMES)
def test_parts_come_back_from_one_mapping(first, second):
    parts = {"one.": named(first), "other.": named(second)}
    together = {**with_prefix("one.", parts["one."]), **with_prefix("other.", parts["other."])}
    assert len(together) == len(first) + len(second)
    for prefix, tensors in parts.items():
        assert below_prefix(prefix, together) == tensors
