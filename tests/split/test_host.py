"""What a host does in which order, with clients that compute nothing and a channel that remembers."""

from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.split import DropOut, Exchange, HostedClient, NonFiniteLossError, StepLosses, run_step

LOSSES = StepLosses(0.5, 0.25)


class Client:
    """A client whose loss may become NaN before it sends in an exchange."""

    def __init__(self, client, log, fails_at=None):
        self.client, self._log, self._fails_at = client, log, fails_at

    def step(self, batch):
        for exchange in Exchange:
            self._log.append(("computes", self.client))
            if exchange is self._fails_at:
                raise NonFiniteLossError("nan")
            assert (yield (exchange, self.client)) == ("answer", exchange, self.client)
        self._log.append(("computes", self.client))
        return LOSSES


class Channel:
    """Answers in any order, and gives some clients up in an exchange."""

    def __init__(self, log, order, given_up):
        self._log, self._order, self._given_up = log, order, given_up
        self._sent = {exchange: {} for exchange in Exchange}

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


def run(clients, order=min, fails_at=None, given_up=None):
    log = []
    hosted = [HostedClient(Client(k, log, (fails_at or {}).get(k)), lambda: None) for k in clients]
    return run_step(hosted, Channel(log, order, given_up or {})), log


def test_a_frame_is_sent_before_the_next_is_computed_and_an_answer_worked_on_before_the_last_is_there():
    outcome, log = run([0, 1])
    sent = [(what, client) for client in (0, 1) for what in ("computes", "sends")]
    answered = [(what, client) for client in (0, 1) for what in ("receives", "computes", "sends")]
    ended = [(what, client) for client in (0, 1) for what in ("receives", "computes")]
    assert log == [*sent, *5 * answered, *ended]
    assert outcome == {0: LOSSES, 1: LOSSES}


clients = st.sets(st.integers(0, 9), min_size=1, max_size=5)
leaving = st.dictionaries(st.integers(0, 9), st.sampled_from(Exchange))


@given(clients, leaving, leaving, st.randoms(use_true_random=False))
def test_in_any_order_of_answers_each_client_runs_until_its_end(clients, fails_at, given_up, random):
    outcome, log = run(clients, random.choice, fails_at, given_up)
    for client in clients:
        failure = fails_at[client].value if client in fails_at else 7
        loss = given_up[client].value if client in given_up else 7
        # One that fails says so, and is answered; one that is given up hears it in place of an answer.
        reason = "nan" if failure <= loss else "late"
        last = min(failure, loss)
        assert outcome[client] == (LOSSES if last == 7 else DropOut(reason))
        own = [what for what, who in log if who == client]
        assert own.count("sends") == own.count("receives") == min(last, 6)
        assert own.count("computes") == (last if reason == "nan" else loss)
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
