"""The strategy with the real ClientApp over the real data plane; only Flower's SuperLink is left out."""

import pytest
from flwr.app import ArrayRecord

from huscf_flwr.config import to_run_config
from huscf_flwr.existing import UnusableFolderError
from huscf_flwr.flower.messages import PROTOCOL
from huscf_flwr.methods.fedgan import FedGAN as FedGANMethod
from huscf_flwr.run.checkpoint import CheckpointError
from huscf_flwr.run.folder_lock import FolderInUseError
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics, read_summary
from huscf_flwr.session.wire import channel, server
from huscf_flwr.session.wire.endpoint import PortTakenError
from strategies import (
    FedGAN,
    HuSCF,
)
from tests.flower.grid_runs import DOUBLE, asked, contents, hosts, owners, run, trained_in
from tests.flower.in_process_grid import InProcessGrid
from tests.flower.listed_messages import unlisted
from tests.quick import OF_EACH_WAY, with_each
from tests.run.builders import (
    DOMAINS,
    LAST_ROUND_DIFFERS,
    METHODS,
    UNJUDGED,
    SilentDisplay,
    all_tensors,
    assert_close,
    server_tensors,
    small_run,
)
from tests.run.checkpoints import once_saved, small_training


@pytest.mark.parametrize("method", OF_EACH_WAY)
def test_a_run_leaves_what_the_local_engine_leaves(images, tmp_path, method):
    config, local = (small_run(images, tmp_path / place, **METHODS[method]) for place in ("flower", "local"))
    run(config, hosts(2))
    train_locally(local, display=SilentDisplay())
    files = [
        {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
        for run in (config, local)
    ]
    assert files[0] == files[1]
    summary = read_summary(config.folder)
    assert (summary["method"], summary["rounds"]) == (config.method, 2)
    assert set(summary["domains"]) == set(DOMAINS)
    assert [line["hosts"] for line in read_metrics(config.folder)] == [2, 2]


@pytest.fixture(scope="module")
def local(images, tmp_path_factory):
    """What the local engine trains with each method in two rounds, in float64, clients' own included."""
    folder = tmp_path_factory.mktemp("local")
    runs = {
        name: small_run(images, folder, name=name, **settings, **UNJUDGED, **DOUBLE)
        for name, settings in METHODS.items()
    }
    for config in runs.values():
        train_locally(config, display=SilentDisplay(), judged=False)
    return {name: all_tensors(config.folder) for name, config in runs.items()}


@pytest.mark.parametrize(("method", "count"), with_each(METHODS, [1, 4]))
def test_any_number_of_supernodes_trains_what_the_local_engine_trains(images, tmp_path, local, count, method):
    """Central training has one client a domain, and two domains: further SuperNodes have nothing to do."""
    config = small_run(images, tmp_path, **METHODS[method], **UNJUDGED, **DOUBLE)
    run(config, hosts(count))
    count = min(count, 2) if method == "central" else count
    assert [line["hosts"] for line in read_metrics(config.folder)] == [count, count]
    assert_close(all_tensors(config.folder), local[method])


def test_a_method_of_two_exchanges_trains_what_the_local_engine_trains(images, tmp_path):
    """Nothing goes up in its first, nothing comes down in its second; it is not ours."""
    settings = {"method": "tests.methods.two_exchanges:TwoExchanges", **UNJUDGED, **DOUBLE}
    config, local = (small_run(images, tmp_path, name=name, **settings) for name in ("flower", "local"))
    run(config, hosts(2))
    train_locally(local, display=SilentDisplay(), judged=False)
    assert [line["hosts"] for line in read_metrics(config.folder)] == [2, 2]
    assert_close(all_tensors(config.folder), all_tensors(local.folder))


@pytest.mark.parametrize("method", sorted({*OF_EACH_WAY} - {"central"}))
def test_a_share_of_the_clients_trains_what_it_trains_on_the_local_engine(images, tmp_path, method):
    """Who takes part depends on the seed alone: clients may come to another SuperNode than before."""
    settings = {"fraction_train": 0.5, "rounds": 4, **METHODS[method], **UNJUDGED, **DOUBLE}
    config, local = (small_run(images, tmp_path, name=name, **settings) for name in ("flower", "local"))
    run(config, hosts(2))
    train_locally(local, display=SilentDisplay(), judged=False)
    took_part = trained_in(config)
    assert took_part == trained_in(local)
    assert len(set(map(tuple, took_part))) > 1
    of_a_share = took_part[:-1] if METHODS[method]["method"] in LAST_ROUND_DIFFERS else took_part
    assert {len(clients) for clients in of_a_share} == {2}
    assert_close(all_tensors(config.folder), all_tensors(local.folder))


def test_the_last_tuning_of_everybody_is_that_of_the_local_engine(images, tmp_path):
    """Clients that were never selected take part in it."""
    given = METHODS["fedvtc"] | {
        "fedvtc.tuning": "last",
        "fedvtc.tuning_epochs": 1,
        "fedvtc.tuning_images": 2,
    }
    settings = {"fraction_train": 0.25, **given, **UNJUDGED, **DOUBLE}
    config, local = (small_run(images, tmp_path, name=name, **settings) for name in ("flower", "local"))
    run(config, hosts(2))
    train_locally(local, display=SilentDisplay())
    assert [len(clients) for clients in trained_in(config)] == [1, 1, 4]
    assert_close(all_tensors(config.folder), all_tensors(local.folder))


def test_a_supernode_without_a_client_in_the_round_is_left_alone(images, tmp_path):
    settings = {"fraction_train": 0.25, "rounds": 3, **UNJUDGED}
    config = small_run(images, tmp_path, method="fedgan", **settings)
    grid = run(config, hosts(2))
    assert len(asked(grid, "train")) == 3
    assert [line["hosts"] for line in read_metrics(config.folder)] == [1, 1, 1]
    assert {request["round"]["neighbours"] for request in contents(grid, "train")} == {1}


def test_parity_mode_trains_what_the_local_engine_trains(images, tmp_path):
    """Its clients start apart, so that before the first round there is nothing to show."""
    settings = {"mode": "parity", "rounds": 3, **UNJUDGED, **DOUBLE}
    config, local = (small_run(images, tmp_path, name=name, **settings) for name in ("flower", "local"))
    run(config, hosts(2))
    train_locally(local, display=SilentDisplay())
    assert read_summary(config.folder)["mode"] == "parity"
    assert_close(server_tensors(config.folder), server_tensors(local.folder))


def test_what_crosses_is_rounded_as_on_the_local_engine(images, tmp_path):
    settings = {**UNJUDGED, **DOUBLE, "rounds": 1, "cuts.solver": "fixed", "cuts.fixed": "2,1,1,2"}
    narrow = {**settings, "wire.preset": "smallest"}
    config = small_run(images, tmp_path, name="flower", **narrow)
    local = small_run(images, tmp_path, name="local", **narrow)
    wide = small_run(images, tmp_path, name="wide", **settings)
    run(config, hosts(2))
    for each in (local, wide):
        train_locally(each, display=SilentDisplay())
    assert_close(server_tensors(config.folder), server_tensors(local.folder))
    crossed = [
        sum(count for kinds in line["bytes"].values() for kind, count in kinds.items() if kind != "segments")
        for each in (config, local, wide)
        for line in read_metrics(each.folder)
    ]
    assert crossed[0] == crossed[1] < crossed[2] / 16


def test_how_numbers_cross_is_chosen_by_the_server_and_hosts_are_told(images, tmp_path):
    """They have the run's own settings, in which nothing is chosen, and not the profiles of all devices."""
    devices = tmp_path / "devices.yaml"
    devices.write_text(
        "server: {gflops: 50, mbit_per_s: 1000}\ndevices:\n  - {name: far, gflops: 10, mbit_per_s: 0.1}\n"
    )
    settings = {**UNJUDGED, **DOUBLE, "rounds": 1, "wire.preset": "auto", "cuts.devices": devices}
    config, local = (small_run(images, tmp_path, name=name, **settings) for name in ("flower", "local"))
    run(config, hosts(2))
    train_locally(local, display=SilentDisplay())
    assert_close(server_tensors(config.folder), server_tensors(local.folder))
    chosen = [read_summary(each.folder)["wire"] for each in (config, local)]
    assert chosen[0] == chosen[1]
    assert chosen[0]["preset"] == "smallest"


@pytest.mark.parametrize("method", ["huscf", "fedgan", "mdgan"])
def test_uploads_are_packed_as_on_the_local_engine(images, tmp_path, method):
    """In messages there is nothing that the closed list does not have, and clients owe the same."""
    settings = {**METHODS[method], **UNJUDGED, **DOUBLE, "rounds": 3, "wire.uploads": "8-bits"}
    config, local = (small_run(images, tmp_path, name=name, **settings) for name in ("flower", "local"))
    grid = run(config, hosts(2))
    train_locally(local, display=SilentDisplay(), judged=False)
    assert_close(all_tensors(config.folder), all_tensors(local.folder))
    found, expected = (
        [line["bytes"]["up"] for line in read_metrics(each.folder)] for each in (config, local)
    )
    assert found == expected
    replies = contents(grid, "train", "up")
    packed = [
        value
        for reply in replies
        for record in reply.values()
        if isinstance(record, ArrayRecord)
        for value in record.values()
        if value.dtype == "uint8"
    ]
    assert packed
    for reply in replies:
        assert unlisted(reply, "train", "up", method, packed=True) == []


def test_supernodes_that_cannot_run_side_by_side_leave_a_lock_step_to_those_that_can(images, tmp_path):
    config = small_run(images, tmp_path, rounds=1, **UNJUDGED, **{"executor.window": 0.5})
    grid = run(config, hosts(3), at_once=1)
    assert [line["hosts"] for line in read_metrics(config.folder)] == [1]
    assert len(asked(grid, "train")) == 1
    assert trained_in(config) == [[0, 1, 2, 3]]


def test_without_lock_step_there_are_more_supernodes_than_workers(images, tmp_path, local):
    """Their messages queue, and all clients take part as if all had run side by side."""
    config = small_run(images, tmp_path, method="fedgan", **UNJUDGED, **DOUBLE)
    display = SilentDisplay()
    run(config, hosts(4), at_once=1, display=display)
    assert [line["hosts"] for line in read_metrics(config.folder)] == [4, 4]
    assert_close(all_tensors(config.folder), local["fedgan"])
    assert display.steps[-1] == (2, 4, 4)


def test_without_lock_step_no_port_is_opened(images, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a port was opened")

    monkeypatch.setattr(server.ExecutorServer, "__init__", refuse)
    config = small_run(images, tmp_path, method="fedgan", rounds=1, **UNJUDGED)
    grid = run(config, hosts(2))
    assert all("stream" not in content for content in contents(grid, "train"))
    invitations = [dict(content["invitation"]) for content in contents(grid, "query.join")]
    assert invitations == [{"protocol": PROTOCOL}] * 2


def halved(tensor):
    return tensor / 2 if tensor.is_floating_point() else tensor


class Halved(FedGANMethod):
    """A method author's own: everybody's networks, halved."""

    def close_round(self, number, collected):
        outcome = super().close_round(number, collected)
        self.networks = {
            key: {
                name: tensor / 2 if tensor.is_floating_point() else tensor for name, tensor in state.items()
            }
            for key, state in self.networks.items()
        }
        return outcome


def test_a_method_of_ones_own_is_named_by_where_it_is(images, tmp_path):
    """As in ``flwr run . --run-config "method='my_package.mine:Mine'"``."""
    settings = {**UNJUDGED, **DOUBLE, "rounds": 1}
    config = small_run(images, tmp_path, name="own", method=f"{__name__}:Halved", **settings)
    plain = small_run(images, tmp_path, name="plain", method="fedgan", **settings)
    for each in (config, plain):
        run(each, hosts(2))
    expected = {name: halved(tensor) for name, tensor in server_tensors(plain.folder).items()}
    assert_close(server_tensors(config.folder), expected)
    assert read_summary(config.folder)["method"] == f"{__name__}:Halved"


def test_a_taken_port_is_named_before_anybody_is_asked(images, tmp_path):
    taken = HuSCF(small_run(images, tmp_path))
    grid = InProcessGrid(hosts(1), to_run_config(taken.config))
    taken.prepare(grid)
    (message,) = taken.configure_train(1, ArrayRecord(), None, grid)
    bind = message.content["stream"]["address"]
    config = small_run(images, tmp_path / "other", **{"executor.bind": bind})
    with pytest.raises(PortTakenError, match=rf"executor\.bind: cannot listen at {bind}"):
        run(config, hosts(1))
    assert not (tmp_path / "other").exists()
    taken.close()
    grid.close()


def test_an_output_that_cannot_be_written_is_told_before_images_and_hosts_are_asked(tmp_path):
    (tmp_path / "runs").touch()
    display = SilentDisplay()
    config = small_run(tmp_path / "nowhere", tmp_path / "runs", **{"model.spec": "auto"})
    with pytest.raises(UnusableFolderError, match=f"^output is {tmp_path / 'runs'}, but it is a file"):
        run(config, hosts(1), display=display)
    assert display.notes == []


def test_too_few_rounds_to_go_on_are_told_before_hosts_are_waited_for(images, tmp_path):
    once_saved(once_saved(small_training(tmp_path), tmp_path), tmp_path)
    more = {"clients": 3, "model.width": 0.03, "rounds": 1, "resume": tmp_path}
    with pytest.raises(CheckpointError, match="is of round 2, and this run has 1: set rounds to at least 2"):
        run(small_run(images, tmp_path / "new", **more), hosts(1))


def test_a_run_holds_its_folder_from_its_preparation_until_it_is_closed(images, tmp_path):
    config = small_run(images, tmp_path, method="fedgan", **UNJUDGED)
    first = FedGAN(config, display=SilentDisplay())
    grid = InProcessGrid(hosts(1), to_run_config(first.config))
    first.prepare(grid)
    before = (config.folder / "config.yaml").stat().st_mtime_ns
    with pytest.raises(FolderInUseError, match=rf"{config.folder} is being written by process"):
        run(config, hosts(1))
    assert (config.folder / "config.yaml").stat().st_mtime_ns == before
    first.close()
    grid.close()
    run(config, hosts(1))
    assert read_summary(config.folder)["rounds"] == 2


def test_more_clusters_than_clients_are_named_before_training(images, tmp_path):
    config = small_run(images, tmp_path, **{"huscf.clusters": 5})
    with pytest.raises(ValueError, match=r"huscf\.clusters: 5 clusters for 4 clients"):
        run(config, hosts(1))
    assert not config.folder.exists()


def test_start_needs_prepare(images, tmp_path):
    strategy = HuSCF(small_run(images, tmp_path))
    with pytest.raises(RuntimeError, match=r"call prepare\(grid\) before start"):
        strategy.initial_arrays()
    strategy.close()


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
    run(small_run(images, tmp_path, rounds=1, **UNJUDGED, **{"executor.shared_memory": wanted}), hosts(2))
    assert memory == dict.fromkeys(("offered", "taken"), 2 * wanted)


def test_who_owns_a_client_shares_no_memory(images, tmp_path, memory, monkeypatch):
    """Neither is it offered, nor is it taken where it is offered all the same."""
    config = small_run(images, tmp_path, rounds=1, **UNJUDGED)
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
    run(small_run(images, tmp_path, name="again", rounds=1, **UNJUDGED), owners(images, tmp_path))
    assert memory == {"offered": 2, "taken": 0}
