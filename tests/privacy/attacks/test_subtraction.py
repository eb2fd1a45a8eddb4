"""A8: one's own share is taken out of an average that is made as the methods make it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.federation import aggregate
from huscf_flwr.privacy.attacks.subtraction import others_average

BUFFERS = ("total-variance", "average")


def block(stream):
    return {
        "0.weight": torch.randn(3, 2, generator=stream).double(),
        "1.running_mean": torch.randn(2, generator=stream).double(),
        "1.running_var": torch.rand(2, generator=stream).double(),
        "1.num_batches_tracked": torch.randint(9, (), generator=stream),
    }


def averaged(blocks, weights, buffers):
    """The average of blocks by client id, with weights that are brought to a sum of one."""
    total = sum(weights[client] for client in blocks)
    shares = {client: weights[client] / total for client in blocks}
    given = {client: {"": own} for client, own in blocks.items()}
    together = dict.fromkeys(blocks, 0)
    return shares, aggregate(given, {}, together, shares, shares, buffers=buffers).clusters[0][""]


@given(
    seed=st.integers(0, 999),
    weights=st.lists(st.floats(0.1, 9), min_size=2, max_size=5),
    buffers=st.sampled_from(BUFFERS),
)
def test_what_is_left_is_the_average_of_the_others_weighted_as_they_were(seed, weights, buffers):
    """Of two it is what the other one has."""
    stream = torch.Generator().manual_seed(seed)
    blocks = {client: block(stream) for client in range(len(weights))}
    shares, mean = averaged(blocks, weights, buffers)
    left = others_average(mean, blocks[0], shares[0], total_variance=buffers == "total-variance")
    others = {client: own for client, own in blocks.items() if client != 0}
    _, expected = averaged(others, weights, buffers)
    if len(others) == 1:
        expected = others[1]
    assert left.keys() == expected.keys() - {"1.num_batches_tracked"}
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-9, atol=1e-9)


def test_by_hand():
    """A quarter of 1 and three quarters of 5 are 4."""
    left = others_average({"w": torch.tensor([4.0])}, {"w": torch.tensor([1.0])}, 0.25, total_variance=True)
    assert left["w"].tolist() == [5.0]


def test_only_what_one_has_oneself_and_what_is_averaged_is_found():
    own, sent = {"a": torch.ones(1), "b": torch.ones(1)}, {"b": torch.ones(1), "c": torch.ones(1)}
    assert others_average(sent, own, 0.5, total_variance=False).keys() == {"b"}


@pytest.mark.parametrize("weight", [1.0, -0.1])
def test_of_an_average_of_oneself_nothing_is_left(weight):
    with pytest.raises(ValueError, match=f"the weight is {weight}: give one from 0 on, and below 1"):
        others_average({}, {}, weight, total_variance=False)
