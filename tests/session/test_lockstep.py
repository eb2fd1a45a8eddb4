import re

import pytest
import torch

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import (
    DropOut,
    DroppedClient,
    LocalChannel,
    LockStep,
    SessionError,
    TooFewClientsError,
    run_steps,
)
from huscf_flwr.session.ledger import Ledger
from huscf_flwr.split import (
    CRITICISE,
    DISCRIMINATE,
    DISCRIMINATOR_BACKWARD,
    EXCHANGES,
    GENERATE,
    HostedClient,
)
from tests.models.specs import small_specs
from tests.session.clock import Clock
from tests.session.threads import PATIENCE, errors_of, wait_until
from tests.split.builders import build, open_session, random_batch

SPEC = small_specs()["three-blocks"]
CUT = legal_cuts(SPEC)[0]
LOSSES = ("discriminator", "generator")


def head_output(batch=2):
    return (torch.zeros(batch, *SPEC.generator_shapes[1], dtype=torch.float64),)


def session_of(hosts, **settings):
    executor, _ = build(SPEC, {client: CUT for clients in hosts for client in clients})
    return open_session(executor, hosts, **settings)


@pytest.mark.parametrize(
    ("exchange", "frames", "message"),
    [
        (CRITICISE, {1: head_output()}, "host 1 sent CRITICISE, but GENERATE is due"),
        (GENERATE, {0: head_output()}, r"host 1 sent clients \[0\], not \[1\]"),
        (GENERATE, {}, r"host 1 sent clients \[\], not \[1\]"),
    ],
)
def test_a_host_that_breaks_the_protocol_loses_its_clients_and_nobody_else_any(exchange, frames, message):
    session = session_of([[0], [1]])
    waiting, guilty = errors_of(
        lambda: session.exchange(0, GENERATE, {0: head_output()}),
        lambda: session.exchange(1, exchange, frames),
    )
    assert waiting is None
    with pytest.raises(SessionError, match=message):
        raise guilty
    assert session.failure is None
    assert session.dropped[1] == DroppedClient(1, GENERATE.name, str(guilty))
    assert session.present(0) == (0,)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (head_output(0), r"client 1, generator head output up: shape \(0, 4, 4, 4\)"),
        (head_output(5), "client 1, GENERATE up: 5 samples, at most 4 are allowed"),
        ((), "client 1, GENERATE up: 0 tensors"),
        ((head_output()[0].float(),), "client 1, generator head output up: torch.float32, expected torch.f"),
        ((head_output()[0] + float("nan"),), "client 1, GENERATE up: numbers that are not finite"),
        ((head_output()[0] - float("inf"),), "client 1, GENERATE up: numbers that are not finite"),
        (DropOut("no battery"), "no battery"),
    ],
)
def test_a_frame_that_fails_costs_its_client_the_session(frame, message):
    """Client 2 lives on the same host, and goes on."""
    told = []
    session = session_of([[0], [1, 2]], largest_batch=4, on_drop_out=lambda *of: told.append(of))
    received = {}
    errors = errors_of(
        lambda: received.update(session.exchange(0, GENERATE, {0: head_output()})),
        lambda: received.update(session.exchange(1, GENERATE, {1: frame, 2: head_output()})),
    )
    assert errors == [None, None]
    assert isinstance(received[1], DropOut)
    assert re.search(message, received[1].reason)
    assert all(isinstance(received[client], tuple) for client in (0, 2))
    assert session.present(1) == (2,)
    assert told == [(1, session.dropped[1])]


def test_a_batch_may_not_change_within_a_step():
    """A gradient of another size than its activations would stop the executor for all."""
    executor, clients = build(SPEC, {0: CUT, 1: CUT})
    session = open_session(executor, [[0, 1]])
    steps = {client.client: client.step(random_batch(SPEC, 3, 1)) for client in clients}
    frames = {k: next(step).frame for k, step in steps.items()}
    for exchange in (GENERATE, DISCRIMINATE):
        received = session.exchange(0, exchange, frames)
        frames = {k: step.send(received[k]).frame for k, step in steps.items()}
    frames[1] = tuple(tensor[:2] for tensor in frames[1])
    received = session.exchange(0, DISCRIMINATOR_BACKWARD, frames)
    assert isinstance(received[1], DropOut)
    assert "gradient of fake tail input up: shape (2, 4" in received[1].reason


def late(session, clock, seconds):
    """Let some time pass, and let the session see who is late."""
    clock.now += seconds
    session.give_up_late()


def test_a_host_that_does_not_come_in_time_loses_its_clients():
    clock = Clock()
    session = session_of([[0], [1], [2]], patience=PATIENCE, clock=clock)
    errors = errors_of(
        lambda: session.exchange(0, GENERATE, {0: head_output()}),
        lambda: session.exchange(1, GENERATE, {1: head_output()}),
        lambda: (wait_until(lambda: session.arrived == {0, 1}), late(session, clock, PATIENCE)),
    )
    assert errors == [None] * 3
    reason = f"did not come to GENERATE within {PATIENCE:.3g} s"
    assert session.dropped == {2: DroppedClient(1, GENERATE.name, reason)}
    (refused,) = errors_of(lambda: session.exchange(2, GENERATE, {2: head_output()}))
    assert str(refused) == "host 2 sent GENERATE, but DISCRIMINATE is due"


def test_where_nobody_comes_somebody_else_gives_all_up():
    clock = Clock()
    session = session_of([[0], [1]], patience=5.0, clock=clock)
    late(session, clock, 4.9)
    assert session.dropped == {}
    late(session, clock, 0.1)
    assert set(session.dropped) == {0, 1}
    assert isinstance(session.failure, TooFewClientsError)


def test_a_host_that_waits_is_not_late():
    """The deadline is that of the others."""
    clock = Clock()
    session = session_of([[0], [1]], patience=5.0, clock=clock)
    waiting, _ = errors_of(
        lambda: session.exchange(0, GENERATE, {0: head_output()}),
        lambda: (wait_until(lambda: session.arrived == {0}), late(session, clock, 100.0)),
    )
    assert waiting is None
    assert set(session.dropped) == {1}


def test_the_executors_own_time_makes_nobody_late(monkeypatch):
    clock = Clock()
    executor, _ = build(SPEC, {0: CUT})
    session = open_session(executor, [[0]], patience=5.0, clock=clock)
    serve = executor.step

    def slow(number):
        serving = serve(number)
        frames = yield next(serving)
        late(session, clock, 100.0)
        yield serving.send(frames)

    monkeypatch.setattr(executor, "step", slow)
    session.exchange(0, GENERATE, {0: head_output()})
    assert session.dropped == {}


def test_a_deadline_ends_a_wait_by_itself():
    """Nobody else looks, and the clock of this session is the real one: a second for this host to come."""
    session = session_of([[0], [1]], patience=1.0)
    assert errors_of(lambda: session.exchange(0, GENERATE, {0: head_output()})) == [None]
    assert set(session.dropped) == {1}


@pytest.mark.parametrize("least", [1, 2, 3])
def test_below_the_least_number_of_clients_the_session_fails(least):
    session = session_of([[0], [1], [2], [3]], min_clients=least)
    for lost in range(1, 5):
        session.leave(lost - 1, "gone")
        assert (session.failure is not None) == (4 - lost < least)
    assert isinstance(session.failure, TooFewClientsError)
    assert str(session.failure) == (
        f"{least - 1} clients are left, fewer than min_clients = {least}; the last to drop out was client "
        f"{4 - least}: gone"
    )


def test_deadlines_follow_the_longest_step():
    asked = []

    def patience(longest):
        asked.append(longest)
        return PATIENCE

    executor, clients = build(SPEC, {0: CUT})
    session = LockStep(executor, [[0]], ledger=Ledger(), steps=2, patience=patience)
    run_steps([HostedClient(clients[0], lambda: random_batch(SPEC, 2, 1))], LocalChannel(session), 2)
    assert asked[: len(EXCHANGES)] == [None] * len(EXCHANGES)
    first, *rest = asked[len(EXCHANGES) :]
    assert first > 0
    assert set(rest[:-1]) == {first}
    assert rest[-1] >= first


@pytest.mark.parametrize("hosts", [[[0, 1]], [[0], [1]]])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_executor_that_fails_ends_the_session_for_all(monkeypatch, hosts, exchange):
    """The last to arrive runs the executor, and the others are told; nobody is left waiting."""
    executor, clients = build(SPEC, {0: CUT, 1: CUT})
    session = open_session(executor, hosts, patience=PATIENCE)
    serve = executor.step

    def fail(number):
        serving = serve(number)
        frames = yield next(serving)
        for current in EXCHANGES:
            if current is exchange:
                raise RuntimeError("out of memory")
            frames = yield serving.send(frames)

    monkeypatch.setattr(executor, "step", fail)

    def run(host):
        members = [HostedClient(clients[k], lambda k=k: random_batch(SPEC, 2, k)) for k in hosts[host]]
        run_steps(members, LocalChannel(session, host), 1)

    errors = errors_of(*(lambda host=host: run(host) for host in range(len(hosts))))
    (cause,) = [error for error in errors if not isinstance(error, SessionError)]
    assert session.failure is cause
    assert str(cause) == "out of memory"
    for error in errors:
        assert error is cause or str(error) == f"step 1, {exchange.name}: out of memory"


@pytest.mark.parametrize("hosts", [[[0, 3]], [[0], [3]], [[3], [0]]])
def test_a_loss_that_is_not_finite_goes_no_further_than_its_client(hosts):
    """Client 3's discriminator tail breaks in its third step; through the bodies all would be NaN soon."""
    executor, clients = build(SPEC, {0: CUT, 3: CUT})
    segments = {client.client: client for client in clients}
    session = open_session(executor, hosts, steps=5)
    drawn = {0: 0, 3: 0}
    results = {}

    def next_batch(client):
        drawn[client] += 1
        if drawn[3] == 3:
            with torch.no_grad():
                clients[1].segments.discriminator.blocks.at(2).main.bias.fill_(float("nan"))
        return random_batch(SPEC, 2, drawn[client])

    def run(host):
        members = [HostedClient(segments[k], lambda k=k: next_batch(k)) for k in hosts[host]]
        results[host] = run_steps(members, LocalChannel(session, host), 5)

    assert errors_of(*(lambda host=host: run(host) for host in range(len(hosts)))) == [None] * len(hosts)
    reason = "client 3: the discriminator's loss is nan"
    assert session.finished
    assert session.dropped == {3: DroppedClient(3, DISCRIMINATOR_BACKWARD.name, reason)}
    drop_outs = {k: out for result in results.values() for k, out in result.drop_outs.items()}
    losses = {k: loss for result in results.values() for k, loss in result.losses.items()}
    assert drop_outs == {3: DropOut(reason)}
    assert set(losses) == {0}
    states = [*executor.segments.states().values(), *clients[0].segments.states().values()]
    assert all(tensor.isfinite().all() for state in states for tensor in state.values())


def test_numbers_that_become_infinite_in_a_body_end_the_session():
    executor, clients = build(SPEC, {0: CUT, 1: CUT})
    with torch.no_grad():
        executor.segments.generator.blocks.at(1).norm.weight.fill_(float("inf"))
    session = open_session(executor, [[0, 1]])
    members = [HostedClient(client, lambda: random_batch(SPEC, 2, 1)) for client in clients]
    (error,) = errors_of(lambda: run_steps(members, LocalChannel(session), 1))
    assert session.failure is error
    assert str(error) == "the executor's numbers are not finite any more"


def test_a_generators_loss_that_is_not_finite_is_named_too():
    """What comes down for one client is made infinite in the fourth exchange, after the first losses."""

    class Overflowing(LocalChannel):
        def receive(self, exchange):
            client, answer = super().receive(exchange)
            if client == 0 and exchange is CRITICISE:
                answer = tuple(torch.full_like(tensor, float("inf")) for tensor in answer)
            return client, answer

    executor, clients = build(SPEC, {0: CUT, 1: CUT})
    members = [HostedClient(client, lambda: random_batch(SPEC, 2, 1)) for client in clients]
    trained = run_steps(members, Overflowing(open_session(executor, [[0, 1]])), 1)
    assert list(trained.drop_outs) == [0]
    assert re.fullmatch(r"client 0: the generator's loss is (nan|inf)", trained.drop_outs[0].reason)
    assert list(trained.losses) == [1]


def test_losses_are_means_over_the_steps():
    def losses_of(*parts):
        executor, clients = build(SPEC, {0: CUT})
        members = [HostedClient(clients[0], lambda: random_batch(SPEC, 3, 1))]
        channel = LocalChannel(open_session(executor, [[0]], steps=sum(parts)))
        return [run_steps(members, channel, steps).losses[0] for steps in parts]

    first, second = losses_of(1, 1)
    (both,) = losses_of(2)
    assert both == pytest.approx({name: (first[name] + second[name]) / 2 for name in LOSSES})
    assert first != second


def test_a_finished_session_takes_no_further_step():
    executor, clients = build(SPEC, {0: CUT})
    session = open_session(executor, [[0]], steps=1)
    member = [HostedClient(clients[0], lambda: random_batch(SPEC, 2, 1))]
    run_steps(member, LocalChannel(session), 1)
    assert session.finished
    assert session.failure is None
    with pytest.raises(SessionError, match="the session has 1 steps, and all are done"):
        session.exchange(0, GENERATE, {0: head_output()})
    assert session.failure is None


def test_who_comes_when_all_steps_are_done_does_not_wait_for_the_others():
    executor, clients = build(SPEC, {0: CUT, 1: CUT})
    session = open_session(executor, [[0], [1]], steps=1)
    session.leave(1, "slow to start")
    run_steps([HostedClient(clients[0], lambda: random_batch(SPEC, 2, 1))], LocalChannel(session), 1)
    (late,) = errors_of(lambda: session.exchange(1, GENERATE, {1: head_output()}))
    with pytest.raises(SessionError, match="the session has 1 steps, and all are done"):
        raise late
    assert session.failure is None
    assert session.present(0) == (0,)


def test_the_first_reason_to_end_stays():
    session = session_of([[0], [1]])
    session.abort(ValueError("first"))
    session.abort(ValueError("second"))
    assert str(session.failure) == "first"
    with pytest.raises(SessionError, match="step 1, GENERATE: first"):
        session.exchange(0, GENERATE, {0: head_output()})


def test_observers_and_progress_follow_the_steps():
    executor, clients = build(SPEC, {0: CUT, 2: CUT})
    seen, done = [], []
    executor.observe = lambda step: (lambda client, x: seen.append((step, client, x))) if step > 1 else None
    session = open_session(executor, [[0, 2]], steps=3, patience=PATIENCE, progress=done.append)
    members = [
        HostedClient(client, lambda k=client.client: random_batch(SPEC, 2 + k, 1)) for client in clients
    ]
    run_steps(members, LocalChannel(session), 3)
    assert done == [1, 2, 3]
    assert [(step, client) for step, client, _ in seen] == [(2, 0), (2, 2), (3, 0), (3, 2)]
    middle = SPEC.discriminator_shapes[SPEC.discriminator.middle]
    assert [tuple(x.shape) for *_, x in seen] == [(2 + client, *middle) for _, client, _ in seen]
    assert not any(x.requires_grad for *_, x in seen)


@pytest.mark.parametrize("hosts", [[[0, 1]], [[0], [1]]])
def test_a_session_that_is_stopped_ends_its_step_first(hosts):
    """Asked for in the middle of step 2 of 5: everybody finishes it, and nobody begins another."""
    executor, clients = build(SPEC, dict.fromkeys((0, 1), CUT))
    reason = RuntimeError("enough")
    finished = []
    session = open_session(executor, hosts, steps=5, patience=PATIENCE, progress=finished.append)
    executor.observe = lambda step: session.stop(reason) if step == 2 else None
    members = [[HostedClient(clients[k], lambda k=k: random_batch(SPEC, 2, k)) for k in ids] for ids in hosts]
    errors = errors_of(
        *(
            lambda host=host, own=own: run_steps(own, LocalChannel(session, host), 5)
            for host, own in enumerate(members)
        )
    )
    assert finished == [1, 2]
    assert session.finished_steps == 2
    assert session.failure is session.stopped is reason
    assert all(error is reason or isinstance(error, SessionError) for error in errors)
