"""Bodies that are kept for clients without a group, once those with one have parted."""

import pytest
import torch

from tests.models.specs import small_specs
from tests.split.builders import build
from tests.split.test_parted_bodies import assert_equal, assert_same, cuts_of, train

SPEC = small_specs()["authors-28"]
GROUPS = {0: 0, 1: 3, 2: 0}
"""Clients 3 and 4 have none."""


def parted():
    executor, clients = build(SPEC, cuts_of(SPEC))
    train(executor, clients, 2)
    executor.keep_common()
    executor.part(GROUPS)
    return executor, clients


def copied(body):
    return {
        f"{key}/{name}": tensor.clone()
        for key, state in body.states().items()
        for name, tensor in state.items()
    }


def test_they_are_the_shared_ones_as_they_were_and_stay_so():
    executor, clients = parted()
    before = copied(executor.bodies[0])
    assert executor.common_body is executor.body_of(3) is executor.body_of(4) is executor.common
    train(executor, clients, 2, first=2)
    assert_equal(copied(executor.common), before)
    assert executor.common.moments() == {}


def test_groups_train_as_if_nobody_else_were_there():
    def bodies(who):
        executor, clients = parted()
        train(executor, [client for client in clients if client.client in who], 2, first=2)
        return executor.bodies

    alone, together = bodies(GROUPS), bodies(range(5))
    for group in alone:
        assert_same(together[group], alone[group])


def test_what_they_see_of_a_client_does_not_depend_on_who_comes_with_it():
    def seen(who):
        executor, clients = parted()
        found = {}
        executor.observe = lambda _: lambda client, activations: found.setdefault(client, activations.clone())
        train(executor, [client for client in clients if client.client in who], 1, first=2)
        return found

    torch.testing.assert_close(seen([3])[3], seen(range(5))[3], rtol=0, atol=1e-12)


def test_clients_without_a_group_still_get_gradients():
    executor, clients = parted()
    before = copied(clients[4].segments)
    train(executor, clients, 1, first=2)
    after = copied(clients[4].segments)
    assert any(not torch.equal(after[name], tensor) for name, tensor in before.items())


def test_a_client_may_join_a_group_later():
    executor, _ = parted()
    bodies = dict(executor.bodies)
    executor.part({**GROUPS, 4: 3})
    assert executor.bodies == bodies
    assert executor.body_of(4) is bodies[3]
    assert executor.body_of(3) is executor.common


def test_they_may_be_had_from_states():
    executor, _ = parted()
    states = {
        key: {n: torch.ones_like(t) for n, t in s.items()} for key, s in executor.common.states().items()
    }
    executor.keep_common(states)
    assert all(bool((tensor == 1).all()) for tensor in copied(executor.common).values())


def test_without_any_a_client_needs_a_group():
    executor, _ = build(SPEC, cuts_of(SPEC))
    assert executor.common_body is executor.segments
    executor.part(GROUPS)
    with pytest.raises(ValueError, match="bodies have parted, and none are kept for clients without a group"):
        executor.body_of(3)
