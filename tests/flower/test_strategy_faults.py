"""Runs in which SuperNodes fail, hang, or answer what cannot be used, while the others train on."""

import threading

import pytest
import torch
from flwr.app import Array, ArrayRecord, Message, RecordDict

import client_apps
from huscf_flwr.flower import session_grid, strategy
from huscf_flwr.flower.assembly import AssemblyError
from huscf_flwr.flower.collection import RoundHosts
from huscf_flwr.run import host
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run import RoundFailedError
from huscf_flwr.run.run_folder import read_metrics
from tests.flower.closed_list import DECLARED
from tests.flower.grid_runs import (
    DOUBLE,
    EACH_WAY_ON_DEVICES,
    contents,
    dropped_in,
    hosts,
    owners,
    run,
    trained_in,
)
from tests.flower.in_process_grid import InProcessGrid
from tests.quick import OF_EACH_WAY
from tests.run.builders import (
    METHODS,
    UNJUDGED,
    SilentDisplay,
    all_tensors,
    assert_close,
    method_class,
    small_run,
)
from tests.run.poisoning import poison


@pytest.fixture(autouse=True)
def quick_grace(monkeypatch):
    monkeypatch.setattr(session_grid, "_GRACE_SECONDS", 1.0)


class FailingRound:
    """Clients whose round cannot begin: those of ``clients``, the first ``times`` times in a round."""

    def __init__(self, monkeypatch, method, clients, number=2, times=10**9):
        self.failures = 0
        kind = method_class(method).client
        begin = kind.begin

        def failing(client, current, order):
            if current == number and client.client in clients and self.failures < times:
                self.failures += 1
                raise MemoryError
            begin(client, current, order)

        monkeypatch.setattr(kind, "begin", failing)


def everybody(method):
    """All clients: those of central training are the two domains."""
    return [0, 1] if method == "central" else [0, 1, 2, 3]


def reason_of(method):
    """How it begins why clients of SuperNode 101 drop out: the executor says it, or else Flower."""
    if DECLARED[method]["exchanges"]:
        return " in step 1, GENERATE", "MemoryError"
    return "", "SuperNode 101: MistakeError: MemoryError: "


@pytest.mark.parametrize("method", OF_EACH_WAY)
def test_a_host_that_fails_loses_its_clients_the_round_and_they_move_to_another(
    images, tmp_path, monkeypatch, method
):
    """Nobody waits until a silent host is given up."""
    FailingRound(monkeypatch, method, {1}, times=1)
    config = small_run(images, tmp_path, rounds=3, **METHODS[method], **UNJUDGED)
    display = SilentDisplay()
    grid = run(config, hosts(2), display=display)
    first, second, third = read_metrics(config.folder)
    clients, (where, reason) = everybody(method), reason_of(method)
    assert [out["id"] for out in second["drop_outs"]] == clients[1::2]
    assert all(out["reason"].startswith(reason) for out in second["drop_outs"])
    assert first["drop_outs"] == third["drop_outs"] == []
    assert [line["hosts"] for line in (first, second, third)] == [2, 2, 1]
    assert [client["id"] for client in third["clients"]] == clients
    note = f"client {clients[-1]} dropped out of round 2{where}: {reason}"
    assert any(each.startswith(note) for each in display.notes)
    assert contents(grid, "train")[-1]["round"]["neighbours"] == 1


@pytest.mark.parametrize("method", OF_EACH_WAY)
def test_a_round_with_too_few_clients_is_tried_again_from_where_it_began(
    images, tmp_path, monkeypatch, method
):
    """The second attempt succeeds, and nothing is left of the first: the run equals an undisturbed one."""
    left = len(everybody(method)) // 2
    settings = {**UNJUDGED, **DOUBLE, **METHODS[method], "rounds": 3, "min_clients": left + 1}
    with monkeypatch.context() as patched:
        FailingRound(patched, method, {1}, times=1)
        config = small_run(images, tmp_path, name="disturbed", **settings)
        display = SilentDisplay()
        grid = run(config, hosts(2), display=display)
    assert [line["round"] for line in read_metrics(config.folder)] == [1, 2, 3]
    assert dropped_in(config) == [[], [], []]
    given_up = f"round 2, attempt 1 of 3 is given up: {left} clients are left"
    assert any(given_up in note for note in display.notes)
    attempts = [
        (content["round"]["round"], content["round"]["attempt"]) for content in contents(grid, "train")
    ]
    assert attempts == [(1, 1), (1, 1), (2, 1), (2, 1), (2, 2), (3, 1)]
    local = small_run(images, tmp_path, name="local", **settings)
    train_locally(local, display=SilentDisplay(), judged=False)
    assert_close(all_tensors(config.folder), all_tensors(local.folder))


@pytest.mark.parametrize("method", OF_EACH_WAY)
def test_a_round_is_tried_a_bounded_number_of_times(images, tmp_path, monkeypatch, method):
    failing = FailingRound(monkeypatch, method, everybody(method))
    config = small_run(images, tmp_path, rounds=3, attempts=2, **METHODS[method], **UNJUDGED)
    with pytest.raises(RoundFailedError, match="round 2: 0 clients are left"):
        run(config, hosts(2))
    assert failing.failures == 4
    assert [line["round"] for line in read_metrics(config.folder)] == [1]
    assert (config.folder / "checkpoint" / "server-0001.json").is_file()


@pytest.mark.parametrize("method", EACH_WAY_ON_DEVICES)
def test_an_owner_that_fails_is_asked_again_in_the_next_round(images, tmp_path, monkeypatch, method):
    FailingRound(monkeypatch, method, {1})
    config = small_run(images, tmp_path, rounds=3, clients=2, **METHODS[method], **UNJUDGED)
    run(config, owners(images, tmp_path))
    assert trained_in(config) == [[0, 1], [0], [0, 1]]


@pytest.mark.parametrize("method", ["huscf", "fedproto"])
def test_an_owner_that_dropped_out_of_the_last_round_judges_all_the_same(
    images, tmp_path, monkeypatch, method
):
    """The product of all, or the model of its own that it kept in the round before."""
    FailingRound(monkeypatch, method, {1})
    config = small_run(images, tmp_path, clients=2, **METHODS[method], **UNJUDGED)
    grid = run(config, owners(images, tmp_path))
    assert trained_in(config) == [[0, 1], [0]]
    judged = [m.metadata.src_node_id for m in grid.received if m.metadata.message_type == "evaluate"]
    assert sorted(judged) == [200, 201]


class HoursLater(RoundHosts):
    """Once the first reply is there, hours have passed."""

    def __init__(self, *arguments, **limits):
        self._hours = 0.0
        super().__init__(*arguments, **limits, clock=lambda: self._hours)

    def replied(self, node):
        super().replied(node)
        self._hours = 3600.0


@pytest.mark.parametrize("method", EACH_WAY_ON_DEVICES)
def test_a_reply_that_takes_too_long_is_not_waited_for(images, tmp_path, monkeypatch, method):
    """Flower would wait for it for hours, if the SuperNode is there and only its handler hangs."""
    over = threading.Event()
    save_private = host.save_private

    def hanging(private, folder, client, *rest, **options):
        assert client != 1 or over.wait(60)
        return save_private(private, folder, client, *rest, **options)

    class Display(SilentDisplay):
        def round(self, metrics, rounds):
            super().round(metrics, rounds)
            over.set()

    monkeypatch.setattr(host, "save_private", hanging)
    limit, reason = {"executor.timeout": 10}, "SuperNode 201: no reply"
    if not DECLARED[method]["exchanges"]:
        monkeypatch.setattr(strategy, "RoundHosts", HoursLater)
        limit, reason = {"round_seconds": 3000}, "SuperNode 201: no reply within 3000 s"
    config = small_run(images, tmp_path, clients=2, rounds=1, **METHODS[method], **UNJUDGED, **limit)
    display = Display()
    run(config, owners(images, tmp_path), display=display)
    assert trained_in(config) == [[0]]
    (dropped,) = display.rounds[0]["drop_outs"]
    assert (dropped["id"], dropped["reason"]) == (1, reason)


@pytest.mark.parametrize(
    ("method", "count"), [*((method, 2) for method in OF_EACH_WAY), ("huscf", 1), ("fedgan", 1)]
)
def test_a_client_that_diverges_is_left_out_as_on_the_local_engine(
    images, tmp_path, monkeypatch, count, method
):
    """In the round after it goes on with the weights of all and what it kept before."""
    poison(monkeypatch)
    settings = {**UNJUDGED, **DOUBLE, **METHODS[method], "rounds": 3, "batch_size": 15}
    config = small_run(images, tmp_path, name="flower", **settings)
    local = small_run(images, tmp_path, name="local", **settings)
    run(config, hosts(count))
    train_locally(local, display=SilentDisplay(), judged=False)
    assert dropped_in(config) == [[], [1], []]
    assert_close(all_tensors(config.folder), all_tensors(local.folder))


def spoiling_round_2(message, context):
    """Answer as the ClientApp does, but for what client 1 uploads in round 2."""
    reply = client_apps.app(message, context)
    is_train = message.metadata.message_type == "train"
    if is_train and "upload/1" in reply.content and message.content["round"]["round"] == 2:
        kind = next(name for name in reply.content.array_records if name.startswith("tensors/1/"))
        not_finite(Reply(RecordDict({kind: reply.content[kind]}), None))
    return reply


def test_a_supernode_whose_only_client_has_dropped_out_is_not_lost(images, tmp_path):
    """It has replied, and has the same client in the next round."""
    config = small_run(images, tmp_path, rounds=3, clients=2, method="fedgan", **UNJUDGED)
    run(config, hosts(2), app=spoiling_round_2)
    assert trained_in(config) == [[0, 1], [0], [0, 1]]
    assert [line["hosts"] for line in read_metrics(config.folder)] == [2, 2, 2]


NOTHING_SENT = {"central", "local", "local-classifier", "uagan", "pflgan"}
"""In round 2 of two: clients that are not on devices, or upload no tensors then."""


@pytest.mark.parametrize("method", sorted({*OF_EACH_WAY} - NOTHING_SENT))
def test_an_upload_that_cannot_be_used_costs_no_other_client_of_its_supernode_the_round(
    images, tmp_path, method
):
    """SuperNode 101 hosts clients 1 and 3; the next round has both again."""
    config = small_run(images, tmp_path, rounds=3, **METHODS[method], **UNJUDGED)
    run(config, hosts(2), app=spoiling_round_2)
    assert trained_in(config) == [[0, 1, 2, 3], [0, 2, 3], [0, 1, 2, 3]]
    assert dropped_in(config) == [[], [1], []]
    (dropped,) = read_metrics(config.folder)[1]["drop_outs"]
    assert (dropped["step"], dropped["exchange"]) == (None, None)
    assert "not finite" in dropped["reason"]
    assert [line["hosts"] for line in read_metrics(config.folder)] == [2, 2, 2]


def test_a_run_waits_for_owners_that_are_away_and_then_says_so(images, tmp_path, monkeypatch):
    monkeypatch.setattr(strategy, "NODES_SECONDS", 0.0)
    has_trained = lambda grid: any(m.metadata.message_type == "train" for m in grid.sent)  # noqa: E731
    monkeypatch.setattr(
        InProcessGrid, "get_node_ids", lambda grid: [200] if has_trained(grid) else list(grid.contexts)
    )
    config = small_run(images, tmp_path, rounds=3, clients=2, method="fedgan", min_clients=2, **UNJUDGED)
    with pytest.raises(AssemblyError, match="min_clients: 2, but 1 clients can be reached after 0 s; start"):
        run(config, owners(images, tmp_path))
    assert trained_in(config) == [[0, 1]]


def test_an_owner_that_comes_back_while_it_is_waited_for_takes_part(images, tmp_path, monkeypatch):
    monkeypatch.setattr(strategy, "_LOOK_AGAIN_SECONDS", 0.0)
    looks = []

    def ids(grid):
        trained = [m for m in grid.sent if m.metadata.message_type == "train"]
        looks.append(len(trained))
        away = len(trained) == 2 and looks.count(2) < 5
        return [200] if away else list(grid.contexts)

    monkeypatch.setattr(InProcessGrid, "get_node_ids", ids)
    config = small_run(images, tmp_path, rounds=2, clients=2, method="fedgan", min_clients=2, **UNJUDGED)
    run(config, owners(images, tmp_path))
    assert trained_in(config) == [[0, 1], [0, 1]]
    assert looks.count(2) >= 5


class Reply:
    """A reply of client 1 that is about to be spoiled, and the one of the round before."""

    def __init__(self, content, earlier):
        self.content, self.earlier = content, earlier
        self.tensors = next(iter(content.array_records.values()), {})
        self.name = next(iter(self.tensors), None)
        """Of some tensor, if there is one."""


def as_before(reply):
    return reply.earlier


def not_finite(reply):
    shape = reply.tensors[reply.name].numpy().shape
    reply.tensors[reply.name] = Array(torch.full(shape, float("nan")))


def of_another_shape(reply):
    reply.tensors[reply.name] = Array(torch.zeros(1))


def without_a_tensor(reply):
    del reply.tensors[reply.name]


def of_another_client(reply):
    for name in list(reply.content):
        if name.endswith("/1") or "/1/" in name:
            reply.content[name.replace("/1", "/0", 1)] = reply.content.pop(name)


def with_images(reply):
    reply.content["tensors/1/images"] = ArrayRecord({"first": torch.zeros(1)})


def with_labels(reply):
    reply.content["upload/1"]["labels"] = [1, 2, 3]


def without_losses(reply):
    del reply.content["losses/1"]


def of_no_seconds(reply):
    reply.content["seconds/1"]["compute"] = float("nan")


def of_bytes_that_are_no_array(reply):
    reply.tensors[reply.name] = Array("float32", (1,), "numpy.ndarray", b"")


def empty(reply):
    return RecordDict()


ALWAYS = (as_before, of_another_client, with_images, with_labels, without_losses, of_no_seconds, empty)
OF_TENSORS = (not_finite, of_another_shape, without_a_tensor, of_bytes_that_are_no_array)


@pytest.mark.parametrize("method", EACH_WAY_ON_DEVICES)
def test_replies_that_are_not_valid_count_as_missing(images, tmp_path, method):
    """In every second round the owner of client 1 answers something else that cannot be used."""
    contents = []
    spoiled_by = ALWAYS + (OF_TENSORS if method_class(method).crossing.upload_kinds else ())

    def handle(message, context):
        reply = client_apps.app(message, context)
        if message.metadata.message_type != "train" or context.node_id != 201:
            return reply
        contents.append(reply.content)
        if len(contents) % 2:
            return reply
        earlier, spoil = contents[-2], spoiled_by[len(contents) // 2 - 1]
        spoiled = spoil(Reply(reply.content, earlier))
        return Message(reply.content if spoiled is None else spoiled, reply_to=message)

    rounds = 2 * len(spoiled_by)
    # Its clients send tensors as long as they train themselves.
    always = {"pflgan.local_rounds": rounds} if method == "pflgan" else {}
    settings = {**METHODS[method], **UNJUDGED, **always, "batch_size": 30}
    config = small_run(images, tmp_path, rounds=rounds, clients=2, **settings)
    run(config, owners(images, tmp_path), app=handle)
    assert trained_in(config) == [[0, 1], [0]] * len(spoiled_by)
    assert dropped_in(config) == [[], [1]] * len(spoiled_by)
