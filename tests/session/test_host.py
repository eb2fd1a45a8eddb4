"""What a host does in which order, with clients that compute nothing and a channel that remembers."""

from itertools import groupby, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.session import DropOut, FrameError, run_step, run_steps
from huscf_flwr.session.exchange import Computed
from huscf_flwr.split import CRITICISM_BACKWARD, DISCRIMINATOR_BACKWARD, EXCHANGES

LOSSES = {"discriminator": 0.5, "generator": 0.25}
LOSS_OF = {DISCRIMINATOR_BACKWARD: 0.5, CRITICISM_BACKWARD: 0.25}
WHOSE = {DISCRIMINATOR_BACKWARD: "discriminator", CRITICISM_BACKWARD: "generator"}


class Client:
    """A client whose loss may become NaN before it sends in an exchange."""

    def __init__(self, client, log, fails_at, device):
        self.client, self._log, self._fails_at, self.device = client, log, fails_at, torch.device(device)

    def step(self):
        for exchange in EXCHANGES:
            self._log.append(("computes", self.client))
            loss = LOSS_OF.get(exchange) if exchange is not self._fails_at else float("nan")
            losses = {} if loss is None else {WHOSE[exchange]: torch.tensor(loss)}
            assert (yield Computed((exchange, self.client), losses)) == ("answer", exchange, self.client)
        self._log.append(("computes", self.client))


class Channel:
    """Answers in any order, and gives some clients up in an exchange."""

    exchanges = EXCHANGES

    def __init__(self, log, order, given_up):
        self._log, self._order, self._given_up = log, order, given_up
        self._sent = {exchange: {} for exchange in EXCHANGES}

    def send(self, exchange, client, parcel):
        assert client not in self._sent[exchange]
        self._sent[exchange][client] = parcel
        self._log.append(("sends", client))

    def receive(self, exchange):
        sent = self._sent[exchange]
        client = self._order(sorted(sent))
        parcel = sent.pop(client)
        self._log.append(("receives", client))
        if isinstance(parcel, DropOut):
            return client, parcel
        assert parcel == (exchange, client)
        if self._given_up.get(client) is exchange:
            return client, DropOut("late")
        return client, ("answer", exchange, client)


def run(clients, order=min, fails_at=None, given_up=None, device="cpu"):
    log = []
    hosted = [Client(k, log, (fails_at or {}).get(k), device) for k in clients]
    return run_step(hosted, Channel(log, order, given_up or {})), log


def test_a_frame_is_sent_before_the_next_is_computed_and_an_answer_worked_on_before_the_last_is_there():
    outcome, log = run([0, 1])
    sent = [(what, client) for client in (0, 1) for what in ("computes", "sends")]
    answered = [(what, client) for client in (0, 1) for what in ("receives", "computes", "sends")]
    ended = [(what, client) for client in (0, 1) for what in ("receives", "computes")]
    assert log == [*sent, *5 * answered, *ended]
    assert outcome == {0: LOSSES, 1: LOSSES}


def test_elsewhere_than_on_the_cpu_all_compute_side_by_side():
    outcome, log = run([0, 1], device="meta")
    turns = [(what, client) for what in ("receives", "computes", "sends") for client in (0, 1)]
    assert log == [*turns[2:], *5 * turns, *turns[:4]]
    assert outcome == {0: LOSSES, 1: LOSSES}


clients = st.sets(st.integers(0, 9), min_size=1, max_size=5)
failing = st.dictionaries(st.integers(0, 9), st.sampled_from(list(LOSS_OF)))
leaving = st.dictionaries(st.integers(0, 9), st.sampled_from(EXCHANGES))


@given(clients, failing, leaving, st.sampled_from(["cpu", "meta"]), st.randoms(use_true_random=False))
def test_in_any_order_of_answers_each_client_runs_until_its_end(clients, fails_at, given_up, device, random):
    outcome, log = run(clients, random.choice, fails_at, given_up, device)
    for client in clients:
        failure = fails_at[client].number if client in fails_at else 7
        loss = given_up[client].number if client in given_up else 7
        # One that fails says so, and is answered; one that is given up hears it in place of an answer.
        failed = failure <= loss and failure < 7
        reason = f"client {client}: the {WHOSE[fails_at[client]]}'s loss is nan" if failed else "late"
        last = min(failure, loss)
        assert outcome[client] == (LOSSES if last == 7 else DropOut(reason))
        own = [what for what, who in log if who == client]
        assert own.count("sends") == own.count("receives") == min(last, 6)
        assert own.count("computes") == (last if failed else loss)
    assert outcome.keys() == clients


@given(clients, st.randoms(use_true_random=False))
def test_nobody_computes_while_a_frame_that_is_computed_waits(clients, random):
    _, log = run(clients, random.choice)
    for (what, client), (then, who) in pairwise(log):
        if what == "receives":
            assert (then, who) == ("computes", client)
        if then == "sends":
            assert (what, who) == ("computes", client)
    received = [client for what, client in log if what == "receives"]
    turns = [set(received[start : start + len(clients)]) for start in range(0, len(received), len(clients))]
    assert [key for key, _ in groupby(turns)] == [clients]


class Anything:
    """A channel of one client that answers everything with nothing."""

    exchanges = EXCHANGES

    def send(self, exchange, client, parcel):
        self._client = client

    def receive(self, exchange):
        return self._client, ()


class Endless(Client):
    def step(self):
        while True:
            yield Computed(())


def test_a_client_that_sends_more_than_the_step_has_exchanges_is_refused():
    with pytest.raises(FrameError, match="client 0 has more to send than the step has exchanges"):
        run_step([Endless(0, [], None, "cpu")], Anything())


class TwoLosses(Client):
    """Has two losses at once, which grow with every exchange, and none in the end."""

    def step(self):
        for exchange in EXCHANGES[:-1]:
            number = float(exchange.number)
            yield Computed((), {"fit": torch.tensor(number), "prior": torch.tensor(-number)})
        yield Computed(())


def test_several_losses_may_come_at_once_and_the_last_of_a_name_counts():
    expected = {3: {"fit": 5.0, "prior": -5.0}}
    assert run_step([TwoLosses(3, [], None, "cpu")], Anything()) == expected
    assert run_steps([TwoLosses(3, [], None, "cpu")], Anything(), 4).losses == expected


def test_a_client_that_leaves_sends_why_and_the_others_go_on():
    drop_out = DropOut("nothing is left of its budget")

    class Leaves(Client):
        def step(self):
            yield Computed((), leaves=drop_out)

    log = []
    hosted = [Leaves(0, log, None, "cpu"), Client(1, log, None, "cpu")]
    assert run_step(hosted, Channel(log, min, {})) == {0: drop_out, 1: LOSSES}
