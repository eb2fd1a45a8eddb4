"""A client that drops out changes the others' weights by what it had sent, and by nothing else."""

from itertools import product

import pytest

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import DropOut, DroppedClient, LocalChannel, run_steps
from huscf_flwr.split import CRITICISE, CRITICISM_BACKWARD, EXCHANGES, HostedClient
from tests.models.specs import small_specs
from tests.quick import mostly_slow
from tests.session.threads import errors_of
from tests.split.builders import build, open_session, random_batch
from tests.split.unsplit import UnsplitStep, differences

SPECS = small_specs()
STEPS = 3
LEAVER = 1


class Leaves(RuntimeError):
    pass


class LeavingChannel:
    """The channel of a host whose client drops out of the second step, in ``exchange``.

    It says so, or is gone without a word.
    """

    def __init__(self, session, host, exchange, says_so):
        self._channel = LocalChannel(session, host)
        self.exchanges = session.exchanges
        self._session, self._host = session, host
        self._exchange, self._says_so = exchange, says_so
        self.receive = self._channel.receive

    def send(self, exchange, client, parcel):
        if client == LEAVER and self._session.finished_steps == 1 and exchange is self._exchange:
            if not self._says_so:
                self._session.leave(self._host, "gone")
                raise Leaves
            parcel = DropOut("gone")
        self._channel.send(exchange, client, parcel)


def batches_of(spec, step, clients):
    return {k: random_batch(spec, 2 + k, 10 * step + k) for k in clients}


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("name", mostly_slow(["authors-28", "three-blocks"], "three-blocks"))
@pytest.mark.parametrize(
    ("hosts", "says_so"), [([[0, 1, 2]], True), ([[0], [1], [2]], True), ([[0, 2], [1]], False)]
)
def test_the_others_train_as_if_the_missing_gradients_were_zero(name, exchange, hosts, says_so):
    spec = SPECS[name]
    cuts = legal_cuts(spec)
    executor, clients = build(spec, {0: cuts[0], 1: cuts[-1], 2: cuts[len(cuts) // 2]})
    oracle = UnsplitStep(executor, clients)
    session = open_session(executor, hosts, steps=STEPS)

    def run(host):
        steps = {k: iter(range(STEPS)) for k in hosts[host]}
        members = [
            HostedClient(clients[k], lambda k=k: batches_of(spec, next(steps[k]), [k])[k])
            for k in hosts[host]
        ]
        run_steps(members, LeavingChannel(session, host, exchange, says_so), STEPS)

    errors = errors_of(*(lambda host=host: run(host) for host in range(len(hosts))))
    assert [error for error in errors if error is not None and not isinstance(error, Leaves)] == []
    assert session.finished
    dropped = session.dropped[LEAVER]
    assert (dropped.step, dropped.exchange, dropped.reason) == (2, exchange.name, "gone")

    oracle.step(batches_of(spec, 0, [0, 1, 2]))
    oracle.step(batches_of(spec, 1, [0, 1, 2]), gone={LEAVER: exchange.number})
    oracle.step(batches_of(spec, 2, [0, 2]))
    assert differences(executor, [clients[0], clients[2]], oracle) == {}


def test_each_exchange_makes_a_difference():
    """What this file proves is not vacuous: the oracle differs with the exchange."""
    spec = SPECS["three-blocks"]
    cut = legal_cuts(spec)[0]
    outcomes = []
    for exchange in EXCHANGES:
        executor, clients = build(spec, {0: cut, 1: cut})
        oracle = UnsplitStep(executor, clients)
        oracle.step(batches_of(spec, 0, [0, 1]), gone={LEAVER: exchange.number})
        outcomes.append(oracle)
    for (i, one), (j, other) in product(enumerate(outcomes), repeat=2):
        same = all(
            (a == b).all()
            for network, blocks in one.shared.items()
            for index, block in blocks.items()
            for a, b in zip(block.parameters(), other.shared[network][index].parameters(), strict=True)
        )
        assert same == (i == j)


def test_a_client_that_drops_out_while_the_executor_computes_took_part_in_it(monkeypatch):
    spec = SPECS["three-blocks"]
    executor, clients = build(spec, dict.fromkeys([0, 1], legal_cuts(spec)[0]))
    session = open_session(executor, [[0], [1]])
    serve = executor.step

    def leaving(number):
        serving = serve(number)
        frames = yield next(serving)
        for current in EXCHANGES:
            if current is CRITICISE:
                session.leave(1, "gone")
                assert set(frames) == {0, 1}
            frames = yield serving.send(frames)

    monkeypatch.setattr(executor, "step", leaving)

    def run(host):
        members = [HostedClient(clients[host], lambda: random_batch(spec, 2, host))]
        return run_steps(members, LocalChannel(session, host), 1)

    assert errors_of(lambda: run(0), lambda: run(1)) == [None, None]
    assert session.dropped[1].exchange == CRITICISM_BACKWARD.name


def test_a_client_that_drops_out_after_the_last_step_names_none():
    """Its upload cannot be used, for example."""
    spec = SPECS["three-blocks"]
    executor, clients = build(spec, dict.fromkeys([0, 1], legal_cuts(spec)[0]))
    session = open_session(executor, [[0, 1]])
    members = [HostedClient(clients[k], lambda k=k: random_batch(spec, 2, k)) for k in (0, 1)]
    run_steps(members, LocalChannel(session, 0), 1)
    session.drop(1, "its upload cannot be used")
    assert session.dropped == {1: DroppedClient(None, None, "its upload cannot be used")}
