"""Groups of clients with bodies of their own train as if the other groups were not there."""

import pytest
import torch

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import DropOut, LocalChannel, run_steps
from huscf_flwr.split import CRITICISE, GENERATE, GENERATOR_BACKWARD, HostedClient
from tests.models.specs import small_specs
from tests.split.builders import build, open_session, random_batch

SPECS = small_specs()
GROUPS = {0: 0, 1: 3, 2: 0, 3: 3, 4: 3}


def cuts_of(spec):
    legal = legal_cuts(spec)
    return {client: legal[5 * client % len(legal)] for client in GROUPS}


def train(executor, clients, steps, first=0, channel=LocalChannel):
    ids = [client.client for client in clients]
    numbers = {k: iter(range(first, first + steps)) for k in ids}
    members = [
        HostedClient(c, lambda c=c: random_batch(c.spec, 3, 100 * next(numbers[c.client]) + c.client))
        for c in clients
    ]
    return run_steps(members, channel(open_session(executor, [ids], steps=steps)), steps)


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=0, atol=1e-12)


def assert_same(first, second):
    """The same states and moments, but for rounding."""
    states, others = first.states(), second.states()
    assert states.keys() == others.keys()
    for key, state in states.items():
        assert_equal(state, others[key])
    assert_equal(first.moments(), second.moments())


@pytest.mark.parametrize("name", sorted(SPECS))
def test_each_group_trains_as_if_alone(name):
    spec = SPECS[name]
    executor, clients = build(spec, cuts_of(spec))
    train(executor, clients, 2)
    executor.part(GROUPS)
    alone = {}
    for group in set(GROUPS.values()):
        cuts = {k: cut for k, cut in cuts_of(spec).items() if GROUPS[k] == group}
        alone[group], members = build(spec, cuts)
        alone[group].segments.load(executor.bodies[group].states())
        alone[group].segments.load_moments(executor.bodies[group].moments())
        for member in members:
            member.segments.load(clients[member.client].segments.states())
            member.segments.load_moments(clients[member.client].segments.moments())
        train(alone[group], members, 3, first=2)
    train(executor, clients, 3, first=2)
    for group, other in alone.items():
        assert_same(executor.bodies[group], other.segments)


def test_they_begin_as_copies_of_the_shared_one():
    spec = SPECS["three-blocks"]
    executor, clients = build(spec, cuts_of(spec))
    train(executor, clients, 1)
    shared = executor.segments
    assert executor.body_of(4) is shared
    assert not executor.parted
    executor.part(GROUPS)
    assert executor.parted
    assert executor.bodies.keys() == {0, 3}
    for body in executor.bodies.values():
        assert_same(body, shared)
    assert executor.body_of(4) is executor.bodies[3] is not executor.bodies[0]
    with pytest.raises(ValueError, match="too many values"):
        _ = executor.segments


@pytest.mark.parametrize("before", [{}, GROUPS, {0: 1, 1: 3}])
@pytest.mark.parametrize("after", [{}, GROUPS, {0: 1, 1: 3}])
def test_the_bodies_of_a_saved_state_can_be_had_whatever_was_there(before, after):
    spec = SPECS["three-blocks"]
    executor, clients = build(spec, cuts_of(spec))
    train(executor, clients, 1)
    if before:
        executor.part(before)
    kept = dict(executor.bodies)
    executor.restore(after)
    assert executor.parted == bool(after)
    assert executor.bodies.keys() == (set(after.values()) or {0})
    assert len({id(body) for body in executor.bodies.values()}) == len(executor.bodies)
    assert all(executor.bodies[name] is kept[name] for name in executor.bodies.keys() & kept.keys())
    for client, group in after.items():
        assert executor.body_of(client) is executor.bodies[group]


@pytest.mark.parametrize("exchange", [GENERATE, CRITICISE, GENERATOR_BACKWARD])
def test_a_group_whose_clients_have_all_dropped_out_changes_nothing_for_the_other(exchange):
    spec = SPECS["authors-28"]

    class Leaving(LocalChannel):
        def send(self, here, client, parcel):
            gone = GROUPS[client] == 3 and here is exchange
            super().send(here, client, DropOut("gone") if gone else parcel)

    def body_of_the_others(channel):
        executor, clients = build(spec, cuts_of(spec))
        executor.part(GROUPS)
        train(executor, clients, 2, channel=channel)
        return executor.bodies[0]

    assert_same(body_of_the_others(Leaving), body_of_the_others(LocalChannel))
