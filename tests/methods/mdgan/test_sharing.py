import hypothesis.strategies as st
import pytest
from hypothesis import given

from huscf_flwr.methods.mdgan.sharing import batch_count, batches_of, swapped
from huscf_flwr.seeding import numpy_stream

CLIENTS = st.lists(st.integers(0, 1000), min_size=2, max_size=12, unique=True)


@pytest.mark.parametrize(
    ("clients", "expected"), [(1, 1), (2, 1), (3, 2), (7, 2), (8, 3), (10, 3), (25, 4), (50, 4)]
)
def test_the_logarithm_is_the_natural_one_rounded_up(clients, expected):
    """The paper runs 1, 10, 25 and 50 clients."""
    assert batch_count("log", clients) == expected


@pytest.mark.parametrize(("batches", "clients", "expected"), [(1, 9, 1), (4, 9, 4), (9, 4, 4)])
def test_there_are_never_more_batches_than_clients(batches, clients, expected):
    assert batch_count(batches, clients) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [(1, 1), (1, 1), (1, 1)]),
        (2, [(1, 2), (2, 1), (1, 2)]),
        (3, [(3, 2), (1, 3), (2, 1)]),
    ],
)
def test_three_clients_get_the_batches_of_the_formula(count, expected):
    """By hand: learnt ((n+1) mod k) + 1, judged (n mod k) + 1, for n = 1, 2, 3."""
    assert [batches_of(place, count) for place in (1, 2, 3)] == expected


@given(st.integers(1, 9), st.integers(1, 9))
def test_the_two_batches_are_different_unless_there_is_only_one(count, place):
    learnt, judged = batches_of(place, count)
    assert (learnt == judged) is (count == 1)
    assert {learnt, judged} <= set(range(1, count + 1))


@given(CLIENTS, st.integers(0, 99))
def test_everybody_is_given_another_discriminator(clients, seed):
    givers = swapped(clients, numpy_stream(seed, "swap", 1))
    assert list(givers) == sorted(clients)
    assert sorted(givers.values()) == sorted(clients)
    assert all(giver != receiver for receiver, giver in givers.items())


@given(CLIENTS, st.integers(0, 99), st.randoms())
def test_a_swap_depends_on_who_is_there_and_not_on_their_order(clients, seed, chance):
    mixed = chance.sample(clients, len(clients))
    assert swapped(mixed, numpy_stream(seed, "swap")) == swapped(clients, numpy_stream(seed, "swap"))


def test_all_swaps_are_equally_likely():
    """Four clients have nine ways to swap so that none keeps its own."""
    found = [tuple(swapped(range(4), numpy_stream(seed, "swap")).values()) for seed in range(900)]
    counts = {way: found.count(way) for way in found}
    assert len(counts) == 9
    assert min(counts.values()) > 60


@pytest.mark.parametrize("clients", [[], [3]])
def test_a_single_client_keeps_its_own(clients):
    assert swapped(clients, numpy_stream(0, "swap")) == {client: client for client in clients}
