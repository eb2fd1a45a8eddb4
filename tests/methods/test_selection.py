"""Who takes part: a share of the clients that are there, the same on any number of hosts."""

from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.methods.contract import selected
from huscf_flwr.seeding import numpy_stream

clients = st.integers(1, 60)
fractions = st.floats(0.01, 1.0)


def draw(available, of, fraction=0.5, least=1, number=1, seed=0):
    stream = numpy_stream(seed, "selection", number)
    return selected(available, fraction=fraction, least=least, stream=stream, of=of)


@given(clients, fractions, st.integers(1, 70), st.integers(0, 5))
def test_as_many_as_flower_takes_of_those_that_are_there(count, fraction, least, seed):
    chosen = draw(range(count), range(count), fraction, least, seed=seed)
    assert list(chosen) == sorted(set(chosen))
    assert set(chosen) <= set(range(count))
    assert len(chosen) == min(count, max(int(fraction * count), least))


@given(st.sets(st.integers(0, 40), min_size=1), st.randoms())
def test_the_order_in_which_clients_are_named_does_not_matter(available, shuffling):
    named = sorted(available)
    shuffled = list(named)
    shuffling.shuffle(shuffled)
    assert draw(named, range(41)) == draw(shuffled, range(41))


@given(st.integers(10, 60), st.data())
def test_who_is_away_changes_the_choice_of_nobody_else(count, data):
    everybody = draw(range(count), range(count), fraction=0.4)
    away = data.draw(st.sampled_from(range(count)))
    others = draw([client for client in range(count) if client != away], range(count), fraction=0.4)
    if away in everybody:
        assert len(set(others) - set(everybody)) <= 1
    else:
        assert set(others) <= set(everybody)


def test_rounds_and_seeds_draw_others():
    drawn = {draw(range(40), range(40), number=number, seed=seed) for number in (1, 2, 3) for seed in (0, 1)}
    assert len(drawn) == 6


def test_everybody_takes_part_by_default():
    assert draw(range(7), range(7), fraction=1.0) == tuple(range(7))


def test_over_many_rounds_everybody_has_a_turn_about_equally_often():
    turns = [0] * 10
    for number in range(400):
        for client in draw(range(10), range(10), fraction=0.3, number=number):
            turns[client] += 1
    assert sum(turns) == 400 * 3
    assert min(turns) > 80
    assert max(turns) < 160
