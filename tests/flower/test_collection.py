import logging
import math
import re
from types import SimpleNamespace

import pytest
from flwr.app import ConfigRecord, MetricRecord, RecordDict

from huscf_flwr.evaluation.domain_scores import Judged
from huscf_flwr.flower.collection import EvaluatingHosts, RoundHosts, judgements
from huscf_flwr.flower.messages import EvaluateReply, EvaluateRequest
from huscf_flwr.methods.contract import Order, Orders
from huscf_flwr.run.host import EvaluationOrder
from huscf_flwr.session import MessageSession, TooFewClientsError
from tests.flower.messages.methods import LISTING

SCORED = {"test": {"accuracy": 0.5, "f1": 0.25}}
FINE = EvaluateReply({5: SCORED})


def request(client, judge=None):
    """To evaluate a client's own models, and perhaps to judge a product."""
    orders = Orders(clients={client: Order()})
    order = EvaluationOrder(round=1, training="0" * 32, orders=orders, kept={}, thoroughly=True)
    return EvaluateRequest(order, 1, judge)


ASKED = {21: request(3, judge=3), 22: request(5)}


class Hosts(RoundHosts):
    """Nodes 21 and 22 with two clients each that train by themselves, and a clock that stands still."""

    def __init__(self, **settings):
        self.done, self.now = [], 0.0
        self.session = MessageSession([(0, 2), (1, 3)], progress=self.done.append, **settings)
        opened = SimpleNamespace(session=self.session)
        super().__init__(opened, [21, 22], round_seconds=60.0, clock=lambda: self.now)


def reasons(hosts):
    return {client: dropped.reason for client, dropped in hosts.session.dropped.items()}


def test_nobody_is_gone_while_there_is_time():
    hosts = Hosts()
    hosts.now = 60.0
    assert set(hosts.gone()) == set()
    assert reasons(hosts) == {}


def test_who_has_not_replied_when_the_round_is_over_has_dropped_out():
    hosts = Hosts()
    hosts.replied(21)
    hosts.now = 60.1
    assert set(hosts.gone()) == {22}
    assert reasons(hosts) == dict.fromkeys((1, 3), "SuperNode 22: no reply within 60 s")
    assert hosts.session.finished
    assert hosts.clients(21) == (0, 2)


def test_clients_are_done_when_their_supernode_has_replied():
    hosts = Hosts()
    hosts.replied(22)
    assert hosts.done == [1, 2]
    hosts.session.drop(0, "its loss is nan")
    hosts.replied(21)
    assert hosts.done == [1, 2, 3]
    assert hosts.session.finished


def test_a_supernode_whose_handler_failed_loses_its_clients_and_strangers_cost_nobody_anything():
    hosts = Hosts()
    hosts.failed(21, "MemoryError")
    hosts.failed(99, "who is that")
    hosts.replied(99)
    assert reasons(hosts) == dict.fromkeys((0, 2), "SuperNode 21: MemoryError")
    assert set(hosts.gone()) == hosts.without_clients() == {21}
    assert hosts.clients(99) == ()


def test_once_too_few_are_left_nobody_is_waited_for():
    hosts = Hosts(min_clients=3)
    hosts.failed(21, "MemoryError")
    assert isinstance(hosts.session.failure, TooFewClientsError)
    assert set(hosts.gone()) == {21, 22}


@pytest.mark.parametrize(
    ("finished", "idle", "gone"), [(True, 9.0, {21, 22}), (True, 8.0, set()), (False, 9.0, set())]
)
def test_a_reply_that_takes_too_long_after_the_last_step_is_not_waited_for(finished, idle, gone):
    """A lock-step says when its last step was; whoever hangs after it would be waited for for hours."""
    session = SimpleNamespace(
        finished=finished, idle_s=idle, failure=None, present=lambda host: [(0, 2), (1, 3)][host]
    )
    hosts = RoundHosts(SimpleNamespace(session=session), [21, 22], reply_seconds=8.0)
    assert set(hosts.gone()) == gone


def test_who_evaluates_for_too_long_is_not_waited_for(caplog):
    now = 0.0
    hosts = EvaluatingHosts({**ASKED, 23: request(7)}, seconds=60.0, clock=lambda: now)
    hosts.replied(21)
    hosts.failed(22, "MemoryError")
    assert "SuperNode 22: MemoryError" in caplog.text
    assert set(hosts.gone()) == set()
    now = 60.1
    assert set(hosts.gone()) == {21, 22, 23}
    assert "SuperNode 23: no reply within 60 s" in caplog.text
    assert caplog.text.count("SuperNode 22") == 1
    assert "SuperNode 21" not in caplog.text


def test_what_several_supernodes_found_comes_together():
    product, reasons = {3: Judged(7, {})}, {3: "diverged"}
    found = {
        21: EvaluateReply(products=product, drop_outs=reasons).to_records(LISTING),
        22: FINE.to_records(LISTING),
    }
    assert judgements(found, ASKED, LISTING) == EvaluateReply({5: SCORED}, product, reasons)


def reply(client=3, **scores):
    return RecordDict({f"scores/test/{client}": MetricRecord(scores)})


def judged(client=3, samples=9, **scores):
    counted = ConfigRecord({"samples": samples})
    return RecordDict(
        {f"samples/product/{client}": counted, f"scores/product/{client}": MetricRecord(scores)}
    )


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        (reply(client=5, f1=1.0), r"own models for clients \[5\], but it was asked for those of \[3\]"),
        (judged(client=5, f1=1.0), r"a product for clients \[5\], but it was asked for those of \[3\]"),
        (judged(samples=0, f1=1.0), "samples: Input should be greater than 0"),
        (judged(samples=-9, f1=1.0), "samples: Input should be greater than 0"),
        (judged(samples=math.inf), "samples: Input should be a valid integer"),
        (judged(f1=math.inf), "f1 is inf, which is not a finite number"),
        (reply(f1=math.nan), "f1 is nan, which is not a finite number"),
        (reply(f1=[1.0]), r"f1 is \[1.0\], which is not a number"),
        (reply(fid=1.0), r"scores/test/3 has \['fid'\], the method lists"),
        (RecordDict({"scores/product/3": MetricRecord({"f1": 1.0})}), r"samples of clients \[\], but scores"),
        (RecordDict({"scores": MetricRecord({"f1": 1.0})}), "which are not listed"),
    ],
)
@pytest.mark.parametrize("first", [21, 22])
def test_scores_that_cannot_be_used_are_logged_and_harm_nobody(caplog, records, problem, first):
    """Whether they come before or after those of the others."""
    found = {21: records, 22: FINE.to_records(LISTING)}
    with caplog.at_level(logging.WARNING):
        in_turn = dict(sorted(found.items(), key=lambda each: each[0] != first))
        usable = judgements(in_turn, ASKED, LISTING)
    assert usable == FINE
    (record,) = caplog.records
    assert re.search(f"SuperNode 21: .*{problem}.*; its scores do not count", record.getMessage())
