"""Cuts that change in mid-run: who gets which, what moves, and what stays as it was to the bit."""

import json

import pytest
import torch
from safetensors.torch import load_file

from huscf_flwr.cuts import CutProblem, load_devices
from huscf_flwr.models import Cut, client_block_keys, flatten_blocks, model_spec_of
from huscf_flwr.run.checkpoint import client_folder
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from tests.methods.huscf.builders import huscf_training
from tests.methods.huscf.scripted_cuts import ScriptedTimer, script_cuts
from tests.run.builders import SilentDisplay, assert_same_to_the_bit, kept_files, small_run, write_domains

pytestmark = pytest.mark.slow

TAKEN_BLOCKS, TAKEN_MOMENTS = "blocks that change sides", "moments that change sides"
FAST = {"evaluation.every": 0, "evaluation.synthetic_images": 0}
DYNAMIC = {**FAST, "cuts.dynamic": "true"}
BEFORE = {0: Cut(1, 1, 1, 1), 1: Cut(2, 1, 2, 2), 2: Cut(2, 2, 1, 1)}
AFTER = {0: Cut(2, 1, 1, 2), 1: Cut(1, 1, 2, 1), 2: Cut(2, 2, 1, 1)}
DEVICES = """
server: {name: server, gflops: 50, mbit_per_s: 1}
devices:
  - {name: phone, gflops: 0.01, mbit_per_s: 1}
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


def slowing_run(config, slow_from, client=0):
    """Run with devices that are as declared, but ``client`` ten times slower from round ``slow_from`` on."""
    spec = model_spec_of(config)
    profiles = load_devices(config.cuts.devices)
    problem = CutProblem(spec, profiles.devices * config.clients, profiles.server, config.batch_size, "exact")

    def make_timer(number, clients):
        speed = {one: problem.devices[one].gflops for one in clients}
        if client in speed and number >= slow_from:
            speed[client] /= 10
        return ScriptedTimer(config.folder, problem, speed)

    display = SilentDisplay()
    train_locally(config, display=display, make_timer=make_timer)
    return problem, display


@pytest.fixture(scope="module")
def slowed(images, tmp_path_factory):
    """Five rounds; client 0 is slow from the third on."""
    place = tmp_path_factory.mktemp("slowed")
    (place / "phones.yaml").write_text(DEVICES)
    config = small_run(images, place, rounds=5, **DYNAMIC, **{"cuts.devices": place / "phones.yaml"})
    return config, *slowing_run(config, slow_from=3)


def cuts_by_round(folder):
    return [[Cut(*client["cut"]) for client in line["clients"]] for line in read_metrics(folder)]


def true_step_s(problem, cuts, slow):
    devices = list(problem.devices)
    if slow:
        devices[0] = devices[0].model_copy(update={"gflops": devices[0].gflops / 10})
    return CutProblem(problem.spec, tuple(devices), problem.server, problem.batch_size).latency(cuts)


def test_a_client_that_becomes_slow_has_a_lighter_cut_within_two_rounds(slowed):
    config, *_ = slowed
    used = cuts_by_round(config.folder)
    assert used[0] == used[1] == used[2]
    heavy, light = used[2][0], used[4][0]
    assert all(new <= old for old, new in zip(heavy, light, strict=True))
    assert light != heavy


def test_the_step_recovers(slowed):
    """Most of what slowness adds to the step is gone, and no cut of the slow client would be better."""
    config, problem, _ = slowed
    used = cuts_by_round(config.folder)
    fast, slow, recovered = (
        true_step_s(problem, used[2], slow=False),
        true_step_s(problem, used[2], slow=True),
        true_step_s(problem, used[4], slow=True),
    )
    assert recovered < slow
    best = min(true_step_s(problem, [cut, *used[4][1:]], slow=True) for cut in problem.cuts)
    assert recovered == pytest.approx(best)
    assert fast < recovered


def test_clients_that_are_as_fast_as_before_stay(slowed):
    config, *_ = slowed
    used = cuts_by_round(config.folder)
    assert used[4][1:] == used[2][1:]


def test_a_change_is_logged_and_written_where_reports_look(slowed):
    config, _, display = slowed
    lines = [line for line in read_metrics(config.folder) if "new_cuts" in line["facts"]]
    (line,) = lines
    (change,) = line["facts"]["new_cuts"]["clients"]
    assert change["id"] == 0
    assert (
        line["facts"]["new_cuts"]["step_seconds_predicted"] < line["facts"]["new_cuts"]["step_seconds_before"]
    )
    (note,) = [note for note in display.notes if "new cuts" in note]
    assert f"client 0 from {' '.join(map(str, change['before']))}" in note
    assert f"{change['output_change']:.4f}" in note
    cuts = json.loads((config.folder / "cuts.json").read_text())
    assert [entry["cut"] for entry in cuts["clients"]] == [
        list(cut) for cut in cuts_by_round(config.folder)[-1]
    ]
    assert cuts["latency_s"] == line["facts"]["new_cuts"]["step_seconds_predicted"]


def test_times_of_every_client_are_in_the_metrics(slowed):
    config, problem, _ = slowed
    line = read_metrics(config.folder)[0]
    for client in line["clients"]:
        place = problem.cuts.index(tuple(client["cut"]))
        assert client["step_seconds"]["compute_s"] == pytest.approx(problem.demands.gflop[place] / 0.01)
        assert client["step_seconds"]["transfer_s"] == pytest.approx(
            problem.demands.megabytes[place] * 8, abs=0.01
        )
    assert line["server_step_seconds"] > 0


def test_cuts_stay_where_they_are_not_dynamic(images, tmp_path):
    (tmp_path / "phones.yaml").write_text(DEVICES)
    config = small_run(images, tmp_path, rounds=3, **FAST, **{"cuts.devices": tmp_path / "phones.yaml"})
    slowing_run(config, slow_from=2)
    first, *others = cuts_by_round(config.folder)
    assert others == [first, first]


@pytest.fixture
def switched(tmp_path):
    """A training after a round, before its cuts change."""
    training = huscf_training(tmp_path, cuts=BEFORE)
    training.train()
    return training


def change_cuts(training):
    training.method.cuts.now, training.method.cuts.before = dict(AFTER), dict(BEFORE)


def taken_by(training):
    """What each client is told to take over from the server, of those that are told to take anything."""
    orders = training.method.orders(2, [0, 1, 2])
    return {
        client: {kind: tensors for kind, tensors in order.tensors.items() if kind != "segments"}
        for client, order in orders.clients.items()
        if set(order.tensors) - {"segments"}
    }


def copied(tensors):
    return {name: value.clone() for name, value in tensors.items()}


def of_moved_blocks(tensors):
    """What client 0 takes over: one block of its generator's head, one of its discriminator's tail."""
    names = ("generator.1.", "discriminator.3.")
    return {name: value for name, value in tensors.items() if name.startswith(names)}


def test_what_a_client_takes_over_is_the_servers_copy_with_its_moments(switched):
    server = switched.method.bodies.segments
    body, moments = copied(flatten_blocks(server.states())), copied(server.moments())
    change_cuts(switched)
    taken = taken_by(switched)
    assert set(taken) == {0}
    assert set(taken[0]) == {TAKEN_BLOCKS, TAKEN_MOMENTS}
    assert_same_to_the_bit(taken[0][TAKEN_BLOCKS], of_moved_blocks(body))
    assert_same_to_the_bit(taken[0][TAKEN_MOMENTS], of_moved_blocks(moments))


def test_every_other_tensor_is_unchanged_to_the_bit(switched):
    """Clients' blocks and moments, the bodies and theirs: with and without the change, tensor by tensor."""
    server = switched.method.bodies.segments
    body, body_moments = copied(flatten_blocks(server.states())), copied(server.moments())
    moved, stay = dict(switched.host._clients), {k: switched.make_client(k) for k in (0, 1, 2)}
    orders = switched.method.orders(2, [0, 1, 2])
    for client, member in stay.items():
        member.load_private(copied(moved[client].private()))
        member.begin(2, orders.of(client))
    change_cuts(switched)
    orders = switched.method.orders(2, [0, 1, 2])
    for client, member in moved.items():
        member.begin(2, orders.of(client))
    assert_same_to_the_bit(flatten_blocks(server.states()), body)
    assert_same_to_the_bit(server.moments(), body_moments)
    for client, member in moved.items():
        segments, before = member.split.segments, stay[client].split.segments
        assert set(segments.states()) == set(client_block_keys(switched.method.spec, AFTER[client]))
        found, own = flatten_blocks(segments.states()), flatten_blocks(before.states())
        assert_same_to_the_bit(found, {name: own.get(name, body.get(name)) for name in found})
        found, own = segments.moments(), before.moments()
        assert_same_to_the_bit(found, {name: own.get(name, body_moments.get(name)) for name in found})


def test_what_is_taken_over_is_taken_once(switched):
    change_cuts(switched)
    ledger = switched.train().opened.ledger
    for kind in (TAKEN_BLOCKS, TAKEN_MOMENTS):
        assert ledger.total(kind=kind) == ledger.total(kind=kind, client=0) > 0
    assert taken_by(switched) == {}
    assert switched.train().opened.ledger.total(kind=TAKEN_BLOCKS) == 0


def test_who_drops_out_when_it_should_take_over_takes_over_in_the_next_round(switched):
    change_cuts(switched)
    switched.train(absent=(0,))
    taken = taken_by(switched)
    assert set(taken) == {0}
    assert taken[0][TAKEN_BLOCKS] == of_moved_blocks(taken[0][TAKEN_BLOCKS])
    assert switched.train().opened.ledger.total(kind=TAKEN_BLOCKS) > 0
    assert taken_by(switched) == {}


def test_who_is_not_selected_when_it_should_take_over_takes_over_when_it_comes_next(switched):
    change_cuts(switched)
    switched.train(clients=[1, 2])
    assert set(taken_by(switched)) == {0}
    assert switched.train(clients=[0, 2]).opened.ledger.total(kind=TAKEN_BLOCKS, client=0) > 0
    assert taken_by(switched) == {}


CHANGES = {
    1: {0: Cut(2, 2, 2, 2), 1: Cut(1, 1, 1, 1)},
    2: {1: Cut(2, 1, 1, 2), 2: Cut(1, 2, 2, 1), 0: Cut(1, 2, 2, 1)},
}


def scripted_run(images, place, **settings):
    return small_run(images, place, **{"rounds": 3, **DYNAMIC, "compute.precision": "float64", **settings})


def checkpoint_of(config):
    folder = config.folder / "checkpoint"
    (server,) = folder.glob("server-*.safetensors")
    kept = kept_files(client_folder(config.folder))
    newest = {name: path for name, path in kept.items() if name.endswith(f"-round-{config.rounds:04}")}
    return {name: load_file(path) for name, path in {server.name: server, **newest}.items()}


def assert_close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for file, tensors in expected.items():
        assert found[file].keys() == tensors.keys()
        for name, value in tensors.items():
            torch.testing.assert_close(found[file][name], value, rtol=0, atol=tolerance, msg=f"{file} {name}")


def test_a_client_whose_blocks_were_the_servers_copy_draws_the_same_images(images, tmp_path, monkeypatch):
    """All other clients leave the block to the server: nothing was averaged into another copy of it."""
    script_cuts(monkeypatch, {1: {0: Cut(2, 1, 1, 1)}, 2: {0: Cut(1, 1, 1, 1)}})
    config = scripted_run(images, tmp_path, **{"cuts.devices": one_slow_device(tmp_path)})
    train_locally(config, display=SilentDisplay())
    lines = [
        line["facts"]["new_cuts"]["clients"]
        for line in read_metrics(config.folder)
        if "new_cuts" in line["facts"]
    ]
    assert [entry["output_change"] for (entry,) in lines] == [0.0, pytest.approx(0.0, abs=0.5)]


def one_slow_device(place):
    path = place / "slow.yaml"
    path.write_text(DEVICES.replace("0.01", "0.0001").replace("mbit_per_s: 1}", "mbit_per_s: 1000}"))
    return path


def test_the_number_of_hosts_changes_nothing(images, tmp_path, monkeypatch):
    script_cuts(monkeypatch, CHANGES)
    configs = [scripted_run(images, tmp_path, name=f"hosts-{count}") for count in (1, 2)]
    for config, count in zip(configs, (1, 2), strict=True):
        train_locally(config, hosts=count, display=SilentDisplay())
    assert_close(checkpoint_of(configs[1]), checkpoint_of(configs[0]), 1e-9)


@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_goes_on_to_the_bit_with_the_cuts_and_beliefs_it_had(
    images, tmp_path, monkeypatch, stop
):
    script_cuts(monkeypatch, CHANGES)
    whole = scripted_run(images, tmp_path, name="whole")
    half = scripted_run(images, tmp_path, name="half", rounds=stop)
    rest = scripted_run(images, tmp_path, name="rest", resume=half.folder)
    for config in (whole, half, rest):
        train_locally(config, display=SilentDisplay())
    assert cuts_by_round(rest.folder) == cuts_by_round(whole.folder)
    assert_close(checkpoint_of(rest), checkpoint_of(whole), 0)
    state = json.loads((rest.folder / "checkpoint" / "server-0003.json").read_text())
    assert state["facts"]["beliefs"]["rounds"] == 3
    listed = json.loads((rest.folder / "cuts.json").read_text())["clients"]
    assert [Cut(*entry["cut"]) for entry in listed] == cuts_by_round(rest.folder)[-1]
