from pathlib import Path

import pytest
import torch

from huscf_flwr.evaluation.scores import DivergedError
from huscf_flwr.methods.contract import (
    Crossing,
    CrossingError,
    Facts,
    MessageClient,
    Method,
    NoFacts,
    Order,
    Orders,
    Upload,
)
from huscf_flwr.run import host
from huscf_flwr.run.client_files import ClientFileError, private_file
from huscf_flwr.run.host import Assignment, EvaluationOrder, Host
from huscf_flwr.session import DropOut, HostTimer
from tests.run.builders import DEVICE, images_of_client, small_run

NAN = float("nan")


class Secret(Facts):
    text: str = "label"


class Adder(MessageClient):
    """Adds up what it is told, and keeps the sum."""

    losses = ("loss",)

    def __init__(self, client, config):
        super().__init__(client, images_of_client(client, 2), DEVICE, config)
        self.sum = torch.zeros(())
        self.batches = [1.0, 3.0]
        self.facts, self.kinds = NoFacts(), ("sum",)
        self.spoilt = False

    def begin(self, number, order):
        self.sum += order.tensors["term"]["value"]

    def train(self):
        for loss in self.batches:
            yield {"loss": loss}

    def upload(self):
        return Upload(facts=self.facts, tensors={kind: {"value": self.sum} for kind in self.kinds})

    def begin_evaluation(self, order):
        self.sum += order.tensors["bonus"]["value"]

    def private(self):
        return {"sum": self.sum + float("inf") if self.spoilt else self.sum}

    def load_private(self, tensors):
        self.sum = tensors["sum"].clone()


class Adding(Method):
    client = Adder
    crossing = Crossing(order_kinds=("term",), upload_kinds=("sum",), evaluation_kinds=("bonus",))


class Hosted:
    """A host, and all clients that it has made."""

    def __init__(self, place, **arguments):
        self.config = small_run(place, place)
        self.made = []
        self.host = Host(self.config, Adding, self.make, place / "clients", **arguments)
        self.change = lambda member: None

    def make(self, client):
        self.made.append(Adder(client, self.config))
        self.change(self.made[-1])
        return self.made[-1]

    def train(self, number=1, term=1.0, kept=None, order=None, **arguments):
        order = order or Order(tensors={"term": {"value": torch.tensor(term)}})
        assignment = Assignment(
            round=number,
            attempt=1,
            steps=2,
            training="ab" * 16,
            orders=Orders(clients=dict.fromkeys((0, 1), order)),
            kept=kept or {},
        )
        return self.host.train(assignment, None, HostTimer(), **arguments)


@pytest.fixture
def hosted(tmp_path):
    return Hosted(tmp_path)


def kept_by(trained):
    return {client: upload.kept for client, upload in trained.uploads.items()}


def sums(trained):
    return {client: float(upload.tensors["sum"]["value"]) for client, upload in trained.uploads.items()}


def test_a_round_gives_uploads_with_mean_losses_times_and_what_was_kept(hosted):
    trained = hosted.train()
    assert trained.drop_outs == {}
    assert sums(trained) == {0: 1, 1: 1}
    for upload in trained.uploads.values():
        assert upload.losses == {"loss": 2.0}
        assert upload.times.compute_s >= 0
        assert upload.kept.round == 1


def test_a_client_that_trains_alone_is_made_for_its_turn_and_goes_on_with_what_it_kept(hosted):
    kept = kept_by(hosted.train())
    assert sums(hosted.train(2, term=10.0, kept=kept)) == {0: 11, 1: 11}
    assert [member.client for member in hosted.made] == [0, 1, 0, 1]


def test_another_host_goes_on_with_the_files(hosted, tmp_path):
    kept = kept_by(hosted.train())
    assert sums(Hosted(tmp_path).train(2, term=10.0, kept=kept)) == {0: 11, 1: 11}


def test_a_client_that_has_kept_nothing_begins_without(hosted, tmp_path):
    kept = kept_by(hosted.train())
    assert sums(Hosted(tmp_path).train(2, term=10.0, kept={1: kept[1]})) == {0: 10, 1: 11}


def test_what_was_trained_in_a_round_that_was_taken_back_does_not_go_on(hosted):
    """The server knows of the first round only: the second is trained anew from there."""
    kept = kept_by(hosted.train())
    hosted.train(2, term=100.0, kept=kept)
    assert sums(hosted.train(2, term=10.0, kept=kept)) == {0: 11, 1: 11}


def test_a_client_without_its_file_is_an_error_in_a_simulation(hosted, tmp_path):
    kept = kept_by(hosted.train())
    private_file(tmp_path / "clients", 1, kept[1]).unlink()
    with pytest.raises(ClientFileError, match=r"what client 1 kept after round 1: .* is missing"):
        Hosted(tmp_path).train(2, kept=kept)


def test_a_device_that_lost_its_file_starts_anew_and_says_so(hosted, tmp_path, caplog):
    kept = kept_by(hosted.train())
    private_file(tmp_path / "clients", 1, kept[1]).unlink()
    device = Hosted(tmp_path, may_have_lost_files=True)
    device.change = lambda member: setattr(member, "load_private", lenient(member.load_private))
    assert sums(device.train(2, term=10.0, kept=kept)) == {0: 11, 1: 10}
    assert "what client 1 kept after round 1" in caplog.text
    assert "it starts anew" in caplog.text


def lenient(load_private):
    return lambda tensors: load_private(tensors) if tensors else None


def test_a_client_whose_loss_is_no_number_drops_out_and_is_made_anew(hosted):
    kept = kept_by(hosted.train())
    hosted.change = lambda member: setattr(member, "batches", [1.0, NAN if member.client == 0 else 1.0])
    trained = hosted.train(2, term=10.0, kept=kept)
    hosted.change = lambda member: None
    assert {k: drop.reason for k, drop in trained.drop_outs.items()} == {
        0: "client 0: the loss's loss is nan"
    }
    assert sums(trained) == {1: 11}
    kept |= kept_by(trained)
    assert sums(hosted.train(3, term=10.0, kept=kept)) == {0: 11, 1: 21}
    assert [member.client for member in hosted.made] == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    "order", [Order(facts=Secret(), tensors={"term": {}}), Order(tensors={"images": {}})]
)
def test_an_order_that_is_not_listed_is_refused_when_it_comes(hosted, order):
    with pytest.raises(CrossingError, match="an order has"):
        hosted.train(order=order)


@pytest.mark.parametrize("change", [{"facts": Secret()}, {"kinds": ("sum", "images")}])
def test_an_upload_that_is_not_listed_is_refused_before_it_is_sent(hosted, change):
    hosted.change = lambda member: vars(member).update(change)
    with pytest.raises(CrossingError, match="an upload has"):
        hosted.train()


def test_between_batches_a_round_can_be_stopped(hosted):
    """Two batches a client: the third is the first of client 1."""
    calls = []

    def after_batch():
        calls.append(len(calls))
        if len(calls) == 3:
            raise InterruptedError("stop")

    with pytest.raises(InterruptedError, match="stop"):
        hosted.train(after_batch=after_batch)
    assert len(calls) == 3


def test_a_client_that_its_last_batch_breaks_drops_out_and_keeps_what_it_had(hosted, tmp_path):
    kept = kept_by(hosted.train())
    hosted.change = lambda member: setattr(member, "spoilt", member.client == 0)
    trained = hosted.train(2, term=10.0, kept=kept)
    hosted.change = lambda member: None
    assert {k: drop.reason for k, drop in trained.drop_outs.items()} == {
        0: "client 0: after the last batch sum is not finite"
    }
    assert sums(trained) == {1: 11}
    assert [path.name.split("-")[1] for path in (tmp_path / "clients" / "client-0").iterdir()] == ["0001"]
    kept |= kept_by(trained)
    assert sums(hosted.train(3, term=10.0, kept=kept)) == {0: 11, 1: 21}


def evaluation(kept, **orders):
    told = Order(tensors={"bonus": {"value": torch.tensor(100.0)}}, **orders)
    return EvaluationOrder(
        round=1,
        training="ab" * 16,
        orders=Orders(clients=dict.fromkeys((0, 1), told)),
        kept=kept,
        thoroughly=False,
    )


def test_an_evaluation_order_reaches_the_client_and_changes_nothing_that_it_trains(hosted, monkeypatch):
    def scored(member, *_, **__):
        return {"test": {"sum": float(member.sum)}}

    monkeypatch.setattr(host, "own_scores", scored)
    kept = kept_by(hosted.train())
    found = hosted.host.evaluate(evaluation(kept), lambda client: None, Path())
    assert found.scores == {client: {"test": {"sum": 101.0}} for client in (0, 1)}
    assert found.drop_outs == {}
    assert sums(hosted.train(2, term=10.0, kept=kept)) == {0: 11, 1: 11}


@pytest.mark.parametrize("is_divergence", [True, False])
def test_only_a_client_that_has_diverged_is_left_out_of_an_evaluation(hosted, monkeypatch, is_divergence):
    """Another mistake is one of the method, and is told where it is."""

    def scored(member, *_, **__):
        if member.client == 0:
            raise (DivergedError if is_divergence else ValueError)("client 0's classifier: broken")
        return {"test": {"sum": 1.0}}

    monkeypatch.setattr(host, "own_scores", scored)
    if not is_divergence:
        with pytest.raises(ValueError, match="broken"):
            hosted.host.evaluate(evaluation({}), lambda client: None, Path())
        return
    asked = []
    found = hosted.host.evaluate(evaluation({}), lambda client: None, Path(), lambda: asked.append(None))
    assert found.scores == {1: {"test": {"sum": 1.0}}}
    assert found.drop_outs == {0: DropOut("client 0's classifier: broken")}
    assert len(asked) == 2


def test_an_evaluation_order_that_is_not_listed_is_refused_when_it_comes(hosted):
    with pytest.raises(CrossingError, match="an evaluation order has facts Secret"):
        hosted.host.evaluate(evaluation({}, facts=Secret()), lambda client: None, Path())


def test_of_a_round_that_failed_no_client_lives_on(hosted):
    """What they have trained since is lost with it."""
    kept = kept_by(hosted.train())
    hosted.change = lambda member: setattr(member, "kinds", ("sum", "images")[member.client :][:1])
    with pytest.raises(CrossingError):
        hosted.train(2, term=100.0, kept=kept)
    hosted.change = lambda member: None
    assert sums(hosted.train(2, term=10.0, kept=kept)) == {0: 11, 1: 11}
