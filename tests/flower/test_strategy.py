"""The strategy with the real ClientApp over the real data plane; only Flower's SuperLink is left out."""

import dataclasses
import json
import threading

import pytest
import torch
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from huscf_flwr.methods.huscf.participant import Participant
from huscf_flwr.methods.huscf.parts import model_spec_of
from safetensors.torch import load_file

import client_apps
import huscf_flwr.flower.client_app as huscf_client
from huscf_flwr.config import to_run_config
from huscf_flwr.deployment import make_server_credentials
from huscf_flwr.federation import Clustering, SampleWeighting
from huscf_flwr.flower.client_keys import keys_of_nodes, read_client_keys
from huscf_flwr.models import Cut, client_block_keys
from huscf_flwr.run.checkpoint import read_checkpoint
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run import RoundFailedError
from huscf_flwr.run.run_folder import read_metrics, read_summary
from huscf_flwr.session.wire import channel, server
from huscf_flwr.session.wire.endpoint import PortTakenError
from server_app import make_server_app
from strategies import HuSCF, session_grid
from tests.flower.closed_list import unlisted
from tests.flower.in_process_grid import RUN_ID, SERVER, InProcessGrid
from tests.methods.huscf.scripted_cuts import script_cuts
from tests.run.builders import DOMAINS, SilentDisplay, small_run, write_domains

FAST = {"evaluation.every": 0, "evaluation.synthetic_images": 0}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


def run(config, nodes, *, at_once=None, app=client_apps.app, **parts):
    """Run the ServerApp on these SuperNodes; return the grid with all messages."""
    flat = to_run_config(config)
    grid = InProcessGrid(nodes, flat, at_once=at_once, app=app)
    parts.setdefault("display", SilentDisplay())
    try:
        make_server_app(**parts)(grid, Context(RUN_ID, SERVER, {}, RecordDict(), flat))
    finally:
        grid.close()
    return grid


def hosts(count):
    return {100 + number: {} for number in range(count)}


def owners(root, tmp_path, count=2):
    """SuperNodes that own clients, each with a domain of its own."""
    return {
        200 + client: {
            "client-id": client,
            "data-folder": str(root / DOMAINS[client % 2]),
            "state-folder": str(tmp_path / f"state-{client}"),
            "device-profile": "paper:d2",
        }
        for client in range(count)
    }


def trained_in(config):
    """The clients in each round's averages."""
    return [[client["id"] for client in line["clients"]] for line in read_metrics(config.folder)]


def server_tensors(folder):
    (path,) = (folder / "checkpoint").glob("server-*.safetensors")
    return load_file(path)


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-9, msg=name)


@pytest.fixture(scope="module")
def simulated(images, tmp_path_factory):
    """Two rounds on two hosts, judged."""
    config = small_run(images, tmp_path_factory.mktemp("simulated"), **{"method.clusters": 2})
    return config, run(config, hosts(2))


def test_a_run_leaves_what_the_local_engine_leaves(simulated, images, tmp_path):
    config, _ = simulated
    local = small_run(images, tmp_path, **{"method.clusters": 2})
    train_locally(local, display=SilentDisplay())
    files = [
        {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
        for run in (config, local)
    ]
    assert files[0] == files[1]
    summary = read_summary(config.folder)
    assert summary["rounds"] == 2
    assert summary["clusters"]["ari"] is not None
    assert set(summary["domains"]) == set(DOMAINS)
    assert [line["hosts"] for line in read_metrics(config.folder)] == [2, 2]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_supernodes_trains_what_the_local_engine_trains(images, tmp_path, count):
    settings = {**FAST, "compute.precision": "float64"}
    config = small_run(images, tmp_path, name="flower", **settings)
    local = small_run(images, tmp_path, name="local", **settings)
    run(config, hosts(count))
    train_locally(local, display=SilentDisplay())
    assert [line["hosts"] for line in read_metrics(config.folder)] == [count, count]
    assert_close(server_tensors(config.folder), server_tensors(local.folder))


def test_what_crosses_is_rounded_as_on_the_local_engine(images, tmp_path):
    settings = {
        **FAST,
        "rounds": 1,
        "compute.precision": "float64",
        "cuts.solver": "fixed",
        "cuts.fixed": "2,1,1,2",
    }
    narrow = {**settings, "compute.wire_dtype": "float16"}
    config = small_run(images, tmp_path, name="flower", **narrow)
    local = small_run(images, tmp_path, name="local", **narrow)
    wide = small_run(images, tmp_path, name="wide", **settings)
    run(config, hosts(2))
    for each in (local, wide):
        train_locally(each, display=SilentDisplay())
    assert_close(server_tensors(config.folder), server_tensors(local.folder))
    crossed = [
        sum(count for kind, count in line["bytes"]["kinds"].items() if kind != "segments")
        for each in (config, local, wide)
        for line in read_metrics(each.folder)
    ]
    assert crossed == [crossed[2] / 4, crossed[2] / 4, crossed[2]]


def test_supernodes_that_cannot_run_side_by_side_leave_all_clients_to_those_that_can(images, tmp_path):
    config = small_run(images, tmp_path, rounds=1, **FAST, **{"executor.window": 0.5})
    grid = run(config, hosts(3), at_once=1)
    assert [line["hosts"] for line in read_metrics(config.folder)] == [1]
    trained = [message for message in grid.sent if message.metadata.message_type == "train"]
    assert len(trained) == 1
    assert len(read_metrics(config.folder)[0]["clients"]) == config.clients


@pytest.fixture(scope="module")
def owned(images, tmp_path_factory):
    """Two owners and a host of virtual clients, two rounds."""
    place = tmp_path_factory.mktemp("owned")
    config = small_run(images, place, **{"evaluation.every": 1})
    return config, run(config, {**owners(images, place), **hosts(1)}), place


def test_nothing_private_is_in_flowers_messages(simulated, owned):
    """Every record and key is listed, and no text names a domain or anything of the data."""
    for grid in (simulated[1], owned[1]):
        for direction, messages in (("down", grid.sent), ("up", grid.received)):
            assert messages
            for message in messages:
                kind = message.metadata.message_type
                assert unlisted(message.content, kind, direction) == []
                for record in message.content.values():
                    values = () if isinstance(record, ArrayRecord) else record.values()
                    words = [value for value in values if isinstance(value, str)]
                    assert not any(name in word for word in words for name in (*DOMAINS, "idx", "/"))


def test_arrays_up_are_the_segments_of_each_clients_cut(simulated):
    config, grid = simulated
    cuts = {c["id"]: c["cut"] for c in json.loads((config.folder / "cuts.json").read_text())["clients"]}
    replies = [m for m in grid.received if m.metadata.message_type == "train"]
    for reply in replies:
        for name, record in reply.content.array_records.items():
            blocks = {tuple(key.split(".")[:2]) for key in record}
            assert len(blocks) == sum(cuts[int(name.removeprefix("client-"))])


def test_blocks_go_down_once_per_cluster_and_host(simulated):
    _, grid = simulated
    requests = [m for m in grid.sent if m.metadata.message_type == "train"]
    assert len(requests) == 2 * 2
    for request in requests:
        clusters = {
            record["cluster"]
            for name, record in request.content.config_records.items()
            if name.startswith("client-")
        }
        assert set(request.content.array_records) == {f"cluster-{cluster}" for cluster in clusters}


def test_tokens_are_fresh_in_every_round_and_for_every_host(simulated):
    _, grid = simulated
    sessions = [m.content["session"] for m in grid.sent if m.metadata.message_type == "train"]
    assert len({session["token"] for session in sessions}) == len(sessions)
    assert {session["neighbours"] for session in sessions} == {2}


def test_the_ledger_counts_segments_as_they_cross(simulated):
    config, grid = simulated
    counted = sum(line["bytes"]["kinds"]["segments"] for line in read_metrics(config.folder))
    assert counted == sum(
        array.numpy().nbytes
        for messages in (grid.sent, grid.received)
        for message in messages
        if message.metadata.message_type == "train"
        for record in message.content.array_records.values()
        for array in record.values()
    )


def test_owners_train_beside_virtual_clients(owned):
    config, *_ = owned
    line = read_metrics(config.folder)[-1]
    assert [client["id"] for client in line["clients"]] == [0, 1, 2, 3]
    assert [client["samples"] for client in line["clients"]] == [60, 60, 30, 30]
    devices = json.loads((config.folder / "cuts.json").read_text())["clients"]
    assert [client["device"] for client in devices][:2] == ["d2", "d2"]


def test_where_nobody_knows_the_domains_nothing_is_invented(owned):
    config, *_ = owned
    summary = read_summary(config.folder)
    assert summary["domains"] is None
    assert summary["clusters"]["ari"] is None
    assert all("domains" not in line for line in read_metrics(config.folder))


def test_owners_judge_on_their_own_test_data_at_the_end(owned):
    config, grid, _ = owned
    asked = [m.metadata.dst_node_id for m in grid.sent if m.metadata.message_type == "evaluate"]
    assert sorted(asked) == [200, 201]
    scores = read_summary(config.folder)["clusters"]["client_scores"]
    assert scores
    for judged in scores.values():
        assert set(judged) == {"tstr_accuracy", "tstr_f1"}
        assert 0 <= judged["tstr_accuracy"] <= 1


@pytest.mark.parametrize("claimed", [0, 9])
def test_who_judges_for_another_client_is_not_heard(images, tmp_path, claimed):
    def handle(message, context):
        reply = client_apps.app(message, context)
        if message.metadata.message_type == "evaluate" and context.node_id == 201:
            reply.content["scores"]["client-id"] = claimed
            reply.content["scores"]["tstr_accuracy"] = 123.0
        return reply

    config = small_run(images, tmp_path, clients=2, rounds=1, **{"evaluation.every": 0})
    grid = run(config, owners(images, tmp_path), app=handle)
    judged = [m for m in grid.received if m.metadata.message_type == "evaluate"]
    (own,) = (m.content["scores"] for m in judged if m.metadata.src_node_id == 200)
    scores = read_summary(config.folder)["clusters"]["client_scores"]
    assert [of_cluster["tstr_accuracy"] for of_cluster in scores.values()] == [own["tstr_accuracy"]]


def test_owners_that_are_not_there_at_the_end_are_not_asked_to_judge(images, tmp_path, monkeypatch):
    """Flower would say only after half a minute or more that they are not there."""
    node_ids = InProcessGrid.get_node_ids

    def without_one_at_the_end(grid):
        trained = sum(reply.metadata.message_type == "train" for reply in grid.received)
        return [node for node in node_ids(grid) if node != 201 or trained < 4]

    monkeypatch.setattr(InProcessGrid, "get_node_ids", without_one_at_the_end)
    config = small_run(images, tmp_path, clients=2, **FAST)
    grid = run(config, owners(images, tmp_path))
    assert trained_in(config) == [[0, 1], [0, 1]]
    assert [m.metadata.dst_node_id for m in grid.sent if m.metadata.message_type == "evaluate"] == [200]


def test_a_deployment_with_tls_is_the_same_run_and_remembers_whose_client_is_whose(images, owned, tmp_path):
    plain, *_ = owned
    credentials = make_server_credentials(tmp_path, ["127.0.0.1"])
    files = {"executor.certificate": credentials.certificate, "executor.key": credentials.key}
    config = small_run(images, tmp_path, **files)
    trusted = {"root-certificates": str(credentials.authority)}
    nodes = {**owners(images, tmp_path), **hosts(1)}
    grid = run(config, {node: {**given, **trusted} for node, given in nodes.items()})
    assert_close(server_tensors(config.folder), server_tensors(plain.folder))
    assert read_client_keys(config.folder) == {node - 200: keys_of_nodes(grid)[node] for node in (200, 201)}
    assert read_client_keys(plain.folder) == {}


def test_owners_keep_their_moments_in_their_state_folder(owned):
    config, grid, place = owned
    training = training_of(config)
    for client in (0, 1):
        files = sorted(path.name for path in (place / f"state-{client}" / training).iterdir())
        assert files == [f"client-{client}-round-000{number}.safetensors" for number in (1, 2)]
        assert dict(grid.contexts[200 + client].state) == {}
    kept = (config.folder / "checkpoint" / "clients").iterdir()
    assert {path.name.split("-")[1] for path in kept} == {"2", "3"}


def training_of(config):
    return read_checkpoint(config.folder).state.training


def assert_same_to_the_bit(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_resumed_run_goes_on_to_the_bit(images, tmp_path):
    whole = small_run(images, tmp_path, name="whole", **FAST)
    half = small_run(images, tmp_path, name="half", rounds=1, **FAST)
    rest = small_run(images, tmp_path, name="rest", resume=half.folder, **FAST)
    for config in (whole, half, rest):
        run(config, hosts(2))
    assert read_summary(rest.folder)["rounds"] == 2
    assert_same_to_the_bit(server_tensors(rest.folder), server_tensors(whole.folder))
    for found, expected in zip(*[iter(client_files(rest.folder, whole.folder, number=2))] * 2, strict=True):
        assert_same_to_the_bit(load_file(found), load_file(expected))


def test_owners_go_on_with_their_moments_in_a_resumed_run(images, tmp_path):
    """Each run is another of Flower's, and knows nothing of the one before but its folder."""
    for name, parts in (("whole", [2]), ("halves", [1, 2])):
        for rounds in parts:
            resume = {"resume": tmp_path / name} if rounds > parts[0] else {}
            config = small_run(images, tmp_path, name=name, rounds=rounds, **resume, **FAST)
            run(config, {**owners(images, tmp_path / f"state of {name}"), **hosts(1)})
    assert_same_to_the_bit(server_tensors(tmp_path / "halves"), server_tensors(tmp_path / "whole"))
    for client in (0, 1):
        state = tmp_path / "state of halves" / f"state-{client}"
        assert [path.name for path in state.iterdir() if len(path.name) == 32] == [training_of(config)]


@dataclasses.dataclass
class OnlyTheFirst:
    """A method author's own weighting: the first client of a cluster is all that counts."""

    calls: int = 0

    def __call__(self, samples, divergences):
        self.calls += 1
        weights = torch.zeros_like(samples)
        weights[0] = 1.0
        return weights


def all_together(features, *, seed):
    return Clustering((0,) * len(features), None)


def test_a_method_authors_own_objects_are_used(images, tmp_path):
    config = small_run(images, tmp_path, **FAST, **{"method.plain_rounds": 1})
    weighting = OnlyTheFirst()
    run(config, hosts(2), weighting=weighting, clusterer=all_together)
    plain, own = read_metrics(config.folder)
    assert plain["global_weights"] == pytest.approx([0.25] * 4)
    assert weighting.calls > 0
    assert own["weights"] == own["global_weights"] == [1.0, 0.0, 0.0, 0.0]
    assert own["clusters"] == [0, 0, 0, 0]


def test_parts_that_are_not_given_are_the_configured_ones(images, tmp_path):
    strategy = HuSCF(small_run(images, tmp_path, **{"method.weighting": "samples"}))
    assert strategy.method.weighting == SampleWeighting()


@pytest.fixture
def quick_grace(monkeypatch):
    monkeypatch.setattr(session_grid, "_GRACE_SECONDS", 1.0)


class FailingRound:
    """Participants whose round cannot begin: those of ``clients``, the first ``times`` times in a round."""

    def __init__(self, monkeypatch, clients, number=2, times=10**9):
        begin_round = Participant.begin_round
        self.failures = 0

        def begin(participant, current):
            if current == number and participant.split.client in clients and self.failures < times:
                self.failures += 1
                raise MemoryError
            return begin_round(participant, current)

        monkeypatch.setattr(Participant, "begin_round", begin)


@pytest.mark.usefixtures("quick_grace")
def test_a_host_that_fails_loses_its_clients_the_round_and_they_move_to_another(
    images, tmp_path, monkeypatch
):
    """Nobody waits for the ten minutes after which a silent host is given up."""
    FailingRound(monkeypatch, {1}, times=1)
    config = small_run(images, tmp_path, rounds=3, **FAST)
    display = SilentDisplay()
    grid = run(config, hosts(2), display=display)
    first, second, third = read_metrics(config.folder)
    assert [out["id"] for out in second["drop_outs"]] == [1, 3]
    assert {out["reason"] for out in second["drop_outs"]} == {"MemoryError"}
    assert first["drop_outs"] == third["drop_outs"] == []
    assert [line["hosts"] for line in (first, second, third)] == [2, 2, 1]
    assert [client["id"] for client in third["clients"]] == [0, 1, 2, 3]
    assert any("client 3 dropped out of round 2 in step 1, GENERATE: MemoryError" in n for n in display.notes)
    last = [message for message in grid.sent if message.metadata.message_type == "train"][-1]
    assert last.content["session"]["neighbours"] == 1


@pytest.mark.usefixtures("quick_grace")
def test_a_round_with_too_few_clients_is_tried_again_from_where_it_began(images, tmp_path, monkeypatch):
    """The second attempt succeeds, and nothing is left of the first: the run equals an undisturbed one."""
    settings = {**FAST, "compute.precision": "float64", "rounds": 3, "min_clients": 3}
    with monkeypatch.context() as patched:
        FailingRound(patched, {1}, times=1)
        config = small_run(images, tmp_path, name="disturbed", **settings)
        display = SilentDisplay()
        grid = run(config, hosts(2), display=display)
    lines = read_metrics(config.folder)
    assert [line["round"] for line in lines] == [1, 2, 3]
    assert all(line["drop_outs"] == [] for line in lines)
    assert any("round 2, attempt 1 of 3 is given up: 2 clients are left" in note for note in display.notes)
    sessions = [
        (message.content["session"]["round"], message.content["session"]["attempt"])
        for message in grid.sent
        if message.metadata.message_type == "train"
    ]
    assert sessions == [(1, 1), (1, 1), (2, 1), (2, 1), (2, 2), (3, 1)]
    local = small_run(images, tmp_path, name="local", **settings)
    train_locally(local, display=SilentDisplay())
    assert_close(server_tensors(config.folder), server_tensors(local.folder))


@pytest.mark.usefixtures("quick_grace")
def test_a_round_is_tried_a_bounded_number_of_times(images, tmp_path, monkeypatch):
    failing = FailingRound(monkeypatch, {0, 1, 2, 3})
    config = small_run(images, tmp_path, rounds=3, attempts=2, **FAST)
    with pytest.raises(RoundFailedError, match="round 2: 0 clients are left"):
        run(config, hosts(2))
    assert failing.failures == 4
    assert [line["round"] for line in read_metrics(config.folder)] == [1]
    assert (config.folder / "checkpoint" / "server-0001.json").is_file()


@pytest.mark.usefixtures("quick_grace")
def test_an_owner_that_fails_is_asked_again_in_the_next_round(images, tmp_path, monkeypatch):
    FailingRound(monkeypatch, {1})
    config = small_run(images, tmp_path, rounds=3, clients=2, **FAST)
    run(config, owners(images, tmp_path))
    assert trained_in(config) == [[0, 1], [0], [0, 1]]


def test_an_owner_that_dropped_out_of_the_last_round_judges_all_the_same(images, tmp_path, monkeypatch):
    monkeypatch.setattr(session_grid, "_GRACE_SECONDS", 0.01)
    FailingRound(monkeypatch, {1})
    config = small_run(images, tmp_path, clients=2, **FAST)
    grid = run(config, owners(images, tmp_path))
    assert trained_in(config) == [[0, 1], [0]]
    judged = [m.metadata.src_node_id for m in grid.received if m.metadata.message_type == "evaluate"]
    assert sorted(judged) == [200, 201]


@pytest.mark.usefixtures("quick_grace")
def test_a_reply_that_takes_too_long_after_the_last_step_is_not_waited_for(images, tmp_path, monkeypatch):
    """Flower would wait for it for hours, if the SuperNode is there and only its handler hangs."""
    over = threading.Event()
    save_moments = huscf_client.save_moments

    def hanging(segments, folder, client, *rest, **options):
        assert client != 1 or over.wait(60)
        return save_moments(segments, folder, client, *rest, **options)

    class Display(SilentDisplay):
        def round(self, metrics, rounds):
            super().round(metrics, rounds)
            over.set()

    monkeypatch.setattr(huscf_client, "save_moments", hanging)
    config = small_run(images, tmp_path, clients=2, rounds=1, **FAST, **{"executor.timeout": 5})
    display = Display()
    run(config, owners(images, tmp_path), display=display)
    assert trained_in(config) == [[0]]
    (dropped,) = display.rounds[0]["drop_outs"]
    assert (dropped["id"], dropped["reason"]) == (1, "SuperNode 201: no reply")


@pytest.mark.usefixtures("quick_grace")
@pytest.mark.parametrize("count", [1, 2])
def test_a_client_that_diverges_is_left_out_as_on_the_local_engine(images, tmp_path, monkeypatch, count):
    """In the round after it goes on with the weights of its cluster and the moments that it kept before."""
    begin_round = Participant.begin_round

    def poisoned(participant, number):
        if (participant.split.client, number) == (1, 2):
            with torch.no_grad():
                participant.split.segments.discriminator.blocks.at(4).main.bias.fill_(float("nan"))
        return begin_round(participant, number)

    monkeypatch.setattr(Participant, "begin_round", poisoned)
    settings = {**FAST, "compute.precision": "float64", "rounds": 3}
    config = small_run(images, tmp_path, name="flower", **settings)
    local = small_run(images, tmp_path, name="local", **settings)
    run(config, hosts(count))
    train_locally(local, display=SilentDisplay())
    assert [len(line["drop_outs"]) for line in read_metrics(config.folder)] == [0, 1, 0]
    assert_close(server_tensors(config.folder), server_tensors(local.folder))


def as_before(content, earlier):
    return earlier


def not_finite(content, earlier):
    content["client-1"]["generator.0.main.weight"] = Array(
        torch.full_like(
            torch.from_numpy(content["client-1"]["generator.0.main.weight"].numpy()), float("nan")
        )
    )
    return content


def of_another_shape(content, earlier):
    content["client-1"]["generator.0.main.weight"] = Array(torch.zeros(1))
    return content


def of_other_blocks(content, earlier):
    del content["client-1"]["generator.0.main.weight"]
    return content


def of_another_client(content, earlier):
    content["client-0"] = content["client-1"]
    return content


def without_losses(content, earlier):
    del content["losses-1"]
    return content


def of_no_seconds(content, earlier):
    content["seconds-1"]["compute"] = float("nan")
    return content


def of_bytes_that_are_no_array(content, earlier):
    content["client-1"]["generator.0.main.weight"] = Array("float32", (1,), "numpy.ndarray", b"")
    return content


def empty(content, earlier):
    return RecordDict()


@pytest.mark.usefixtures("quick_grace")
@pytest.mark.parametrize(
    "change",
    [
        as_before,
        not_finite,
        of_another_shape,
        of_other_blocks,
        of_another_client,
        of_bytes_that_are_no_array,
        of_no_seconds,
        without_losses,
        empty,
    ],
)
def test_a_reply_that_is_not_valid_counts_as_missing(images, tmp_path, monkeypatch, change):
    contents = []

    def handle(message, context):
        reply = client_apps.app(message, context)
        if message.metadata.message_type == "train" and context.node_id == 101:
            contents.append(reply.content)
            if len(contents) == 2:
                return Message(change(reply.content, contents[0]), reply_to=message)
        return reply

    config = small_run(images, tmp_path, rounds=2, clients=2, **FAST)
    run(config, hosts(2), app=handle)
    _, second = read_metrics(config.folder)
    assert [client["id"] for client in second["clients"]] == [0]
    assert [out["id"] for out in second["drop_outs"]] == [1]


def test_a_taken_port_is_named_before_anybody_is_asked(images, tmp_path):
    taken = HuSCF(small_run(images, tmp_path))
    grid = InProcessGrid(hosts(1), to_run_config(taken.config))
    taken.prepare(grid)
    (message,) = taken.configure_train(1, ArrayRecord(), None, grid)
    bind = message.content["session"]["address"]
    config = small_run(images, tmp_path / "other", **{"executor.bind": bind})
    with pytest.raises(PortTakenError, match=rf"executor\.bind: cannot listen at {bind}"):
        run(config, hosts(1))
    assert not (tmp_path / "other").exists()
    taken.close()
    grid.close()


def test_more_clusters_than_clients_are_named_before_training(images, tmp_path):
    config = small_run(images, tmp_path, **{"method.clusters": 5})
    with pytest.raises(ValueError, match=r"method\.clusters: 5 clusters for 4 clients"):
        run(config, hosts(1))
    assert not config.folder.exists()


@pytest.fixture
def memory(monkeypatch):
    """Counts what the executor offers and what hosts take."""
    counted = {"offered": 0, "taken": 0}

    def counting(module, name, key):
        real = getattr(module, name)

        def count(*arguments):
            counted[key] += 1
            return real(*arguments)

        monkeypatch.setattr(module, name, count)

    counting(server, "offer_memory", "offered")
    counting(channel, "take_memory", "taken")
    return counted


@pytest.mark.parametrize("wanted", [True, False])
def test_hosts_of_virtual_clients_share_memory_if_that_is_set(images, tmp_path, memory, wanted):
    run(small_run(images, tmp_path, rounds=1, **FAST, **{"executor.shared_memory": wanted}), hosts(2))
    assert memory == dict.fromkeys(("offered", "taken"), 2 * wanted)


def test_who_owns_a_client_shares_no_memory(images, tmp_path, memory, monkeypatch):
    """Neither is it offered, nor is it taken where it is offered all the same."""
    config = small_run(images, tmp_path, rounds=1, **FAST)
    run(config, owners(images, tmp_path))
    assert memory == {"offered": 0, "taken": 0}
    open_session = server.ExecutorServer.open_session
    monkeypatch.setattr(
        server.ExecutorServer,
        "open_session",
        lambda self, session, *positional, share_memory, **named: open_session(
            self, session, *positional, share_memory=range(len(session.hosts)), **named
        ),
    )
    run(small_run(images, tmp_path, name="again", rounds=1, **FAST), owners(images, tmp_path))
    assert memory == {"offered": 2, "taken": 0}


def test_start_needs_prepare(images, tmp_path):
    strategy = HuSCF(small_run(images, tmp_path))
    with pytest.raises(RuntimeError, match=r"call prepare\(grid\) before start"):
        strategy.initial_arrays()
    strategy.close()


CHANGES = {
    1: {0: Cut(2, 2, 2, 2), 3: Cut(1, 1, 1, 1)},
    2: {0: Cut(1, 2, 1, 2), 2: Cut(2, 1, 2, 1), 3: Cut(2, 1, 1, 2)},
}
CHANGING = {**FAST, "compute.precision": "float64", "cuts.dynamic": "true"}


@pytest.mark.parametrize("count", [1, 2])
def test_cuts_that_change_train_what_they_train_on_the_local_engine(images, tmp_path, monkeypatch, count):
    script_cuts(monkeypatch, CHANGES)
    config = small_run(images, tmp_path, name="flower", rounds=3, **CHANGING)
    local = small_run(images, tmp_path, name="local", rounds=3, **CHANGING)
    grid = run(config, hosts(count))
    train_locally(local, display=SilentDisplay())
    assert_close(server_tensors(config.folder), server_tensors(local.folder))
    private = [load_file(path) for path in client_files(config.folder, local.folder)]
    for found, expected in zip(private[::2], private[1::2], strict=True):
        assert_close(found, expected)
    for message in (*grid.sent, *grid.received):
        direction = "down" if message in grid.sent else "up"
        assert unlisted(message.content, message.metadata.message_type, direction) == []


def client_files(*folders, clients=4, number=3):
    """The same client's moments in each of the folders, client by client."""
    name = "checkpoint/clients/client-{}-round-{:04}.safetensors"
    return [folder / name.format(client, number) for client in range(clients) for folder in folders]


def test_an_owner_takes_over_and_gives_up_blocks_with_their_moments(images, tmp_path, monkeypatch):
    script_cuts(monkeypatch, CHANGES)
    config = small_run(images, tmp_path, rounds=3, **CHANGING)
    grid = run(config, {**owners(images, tmp_path), **hosts(1)})
    requests = [m.content for m in grid.sent if m.metadata.message_type == "train"]
    for request in requests:
        taken = [name for name in request.array_records if name.startswith(("taken-0", "moments-0"))]
        grown = request["session"]["round"] == 2 and "client-0" in request
        assert taken == (["taken-0", "moments-0"] if grown else [])
    state = tmp_path / "state-0" / training_of(config)
    kept = [
        {tuple(name.split(".")[:2]) for name in load_file(state / f"client-0-round-000{number}.safetensors")}
        for number in (2, 3)
    ]
    spec = model_spec_of(config)
    assert kept == [
        {(network, str(index)) for network, index in client_block_keys(spec, changes[0])}
        for changes in CHANGES.values()
    ]
    # The moments of a block that stayed went on: Adam counts its steps over all three rounds.
    steps = load_file(state / "client-0-round-0003.safetensors")["generator.0.main.weight.step"]
    assert steps == 3 * read_metrics(config.folder)[-1]["steps"]
