"""Where every client has the whole discriminator, a step is the unsplit one, and two exchanges are left."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.models import Cut, all_block_keys, flatten_blocks, legal_cuts, smallest_cut
from huscf_flwr.session import Ledger, LocalChannel, run_step
from huscf_flwr.split import HostedClient, Segments, Watch, unsplit_step
from huscf_flwr.split.local_discriminator import learn
from tests.models.specs import small_specs
from tests.session.threads import errors_of
from tests.split.builders import DOUBLE, build, local_step, open_session, random_batch
from tests.split.unsplit import UnsplitStep, differences

SPECS = small_specs()
SPEC = SPECS["authors-28"]
LIGHTEST = smallest_cut(SPEC, local_discriminator=True)


@st.composite
def populations(draw):
    """A network, a generator's cut and a batch size for each of one to four clients, and a seed."""
    spec = SPECS[draw(st.sampled_from(sorted(SPECS)))]
    cuts = st.sampled_from(legal_cuts(spec, local_discriminator=True))
    members = draw(st.lists(st.tuples(cuts, st.integers(2, 5)), min_size=1, max_size=4))
    return spec, members, draw(st.integers(0, 2**16)), draw(st.booleans())


@settings(max_examples=15, deadline=None)
@given(populations())
def test_each_client_has_its_own_discriminator_and_all_share_the_generators_body(population):
    spec, members, seed, apart = population
    executor, clients = build(spec, {k: cut for k, (cut, _) in enumerate(members)}, seed)
    oracle = UnsplitStep(executor, clients)
    batches = {k: random_batch(spec, size, seed + k, apart=apart) for k, (_, size) in enumerate(members)}
    local_step(executor, clients, batches)
    oracle.step(batches)
    assert differences(executor, clients, oracle) == {}


def test_several_steps_carry_moments_and_buffers_on():
    cuts = dict(enumerate([LIGHTEST, legal_cuts(SPEC, local_discriminator=True)[-1], LIGHTEST]))
    executor, clients = build(SPEC, cuts)
    oracle = UnsplitStep(executor, clients)
    for number in range(3):
        batches = {k: random_batch(SPEC, 2 + k, 10 * number + k, apart=True) for k in cuts}
        local_step(executor, clients, batches)
        oracle.step(batches)
    assert differences(executor, clients, oracle) == {}


def test_the_step_of_one_client_is_the_unsplit_step():
    batch = random_batch(SPEC, 4, 1, apart=True)
    executor, (client,) = build(SPEC, {0: LIGHTEST})
    whole = Segments(SPEC, list(all_block_keys(SPEC)), seed=0, owner=0, dtype=DOUBLE)
    whole.load({**executor.segments.states(), **client.segments.states()})
    local_step(executor, [client], {0: batch})
    unsplit_step(whole, batch)
    split = flatten_blocks({**executor.segments.states(), **client.segments.states()})
    for name, tensor in flatten_blocks(whole.states()).items():
        torch.testing.assert_close(split[name], tensor, rtol=0, atol=1e-9)


def test_two_exchanges_cross_and_nothing_else():
    executor, clients = build(SPEC, {0: LIGHTEST, 1: LIGHTEST})
    ledger = Ledger()
    local_step(executor, clients, {k: random_batch(SPEC, 3, k, apart=True) for k in (0, 1)}, ledger)
    found = [(each.number, each.name, _names(each.up), _names(each.down)) for each in executor.exchanges]
    assert found == [
        (1, "GENERATE", ["generator head output"], ["generator tail input"]),
        (
            2,
            "GENERATOR_BACKWARD",
            ["gradient of generator tail input"],
            ["gradient of generator head output"],
        ),
    ]
    assert ledger.by_kind("up").keys() == {"generator head output", "gradient of generator tail input"}
    assert ledger.by_kind("down").keys() == {"generator tail input", "gradient of generator head output"}


def test_the_server_has_nothing_of_the_discriminator():
    executor, clients = build(SPEC, {0: LIGHTEST})
    local_step(executor, clients, {0: random_batch(SPEC, 3, 1)})
    held = {
        name.split(".")[0]
        for name in (*flatten_blocks(executor.segments.states()), *executor.segments.moments())
    }
    assert held == {"generator"}


def test_two_hosts_compute_what_one_does():
    batches = {k: random_batch(SPEC, 2 + k, k, apart=True) for k in range(3)}
    results = []
    for hosts in ([[0, 1, 2]], [[0, 2], [1]]):
        executor, clients = build(SPEC, dict.fromkeys(range(3), LIGHTEST))
        session = open_session(executor, hosts)

        def host(number, clients=clients, session=session, hosts=hosts):
            hosted = [HostedClient(clients[k], lambda k=k: batches[k]) for k in hosts[number]]
            run_step(hosted, LocalChannel(session, number))

        assert not any(errors_of(*(partial(host, number) for number in range(len(hosts)))))
        results.append(
            [flatten_blocks(each.states()) for each in (executor.segments, *(c.segments for c in clients))]
        )
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_whoever_watches_sees_what_the_split_session_sees_of_real_images():
    """Before any step the middle's activations are the same, whoever computes them."""
    batch = random_batch(SPEC, 4, 1, apart=True)
    seen = {"split": [], "local": []}
    executor, (client,) = build(SPEC, {0: Cut()})
    executor.observe = lambda _: lambda _, activations: seen["split"].append(activations)
    _, (local,) = build(SPEC, {0: LIGHTEST})
    local.segments.load({**executor.segments.states(), **client.segments.states()})
    local_step(executor, [client], {0: batch})
    watch = Watch(SPEC.discriminator.middle_index, seen["local"].append)
    part = local.segments.discriminator
    learn(part, torch.zeros_like(batch.images), batch, watch)
    torch.testing.assert_close(seen["local"], seen["split"], rtol=0, atol=1e-12)


def test_a_session_is_local_or_it_is_not():
    with pytest.raises(ValueError, match=r"clients \[1\] keep the whole discriminator, and \[0\] do not"):
        build(SPEC, {0: Cut(), 1: LIGHTEST})


def _names(kinds):
    return [kind.name for kind in kinds]
