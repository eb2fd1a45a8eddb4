import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from huscf_flwr.bench import engines
from huscf_flwr.bench.engines import CutChoice, Engine, bench_config, cuts_of, time_steps
from huscf_flwr.bench.step import mixed_cuts
from huscf_flwr.commands.main import app
from huscf_flwr.flower.superlink import FlowerRunError
from huscf_flwr.models import model_spec_of
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.metrics_line import WARM_UP_STEPS
from huscf_flwr.run.run_folder import read_metrics


def small(**settings):
    defaults = {
        "clients": 3,
        "batch_size": 2,
        "rounds": 1,
        "local_epochs": 1,
        "model.width": 0.05,
        "cuts.solver": "exact",
        "evaluation.every": 0,
        "evaluation.images": 20,
        "evaluation.synthetic_images": 0,
    }
    return bench_config({**defaults, **settings})


def bench_step(*arguments):
    command = ("--clients", "2", "--batch-size", "2", "--width", "0.05", "--repeats", "1", "--format", "json")
    return CliRunner().invoke(app, ["bench", "step", *command, *arguments])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_an_error():
    printed = bench_step("--device", "cuda")
    assert printed.exit_code == 2
    assert "compute.device: cuda, but PyTorch finds no CUDA device" in printed.output


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "grpc"])
def test_an_engine_says_what_it_measured(engine):
    printed = bench_step("--engine", engine, "--wire", "smallest", "--cuts", "greedy")
    assert printed.exit_code == 0, printed.output
    figures = json.loads(printed.stdout)
    assert (figures["engine"], figures["wire"], figures["cuts"]) == (engine, "smallest", "greedy")
    assert figures["hosts"] == {"local": 1, "grpc": 2}[engine]
    assert 0 < figures["seconds_min"] <= figures["seconds"] <= figures["seconds_max"]
    assert figures["peak_memory_bytes"] > 0


@pytest.mark.slow
def test_local_and_grpc_send_the_same_bytes():
    """In bfloat16 here, and in float32 below."""
    config = small(**{"compute.precision": "bfloat16"})
    cuts = cuts_of(config, CutChoice.EXACT)
    local, grpc = (
        time_steps(engine, config, cuts, hosts=2, repeats=2) for engine in (Engine.LOCAL, Engine.GRPC)
    )
    assert grpc.bytes_per_step == local.bytes_per_step > 0


@pytest.mark.slow
def test_memory_over_grpc_is_that_of_all_processes(monkeypatch):
    """Of this one nothing is known here: it has whatever the tests before took."""
    of_hosts, host_process = [], engines._host_process

    def noted(order):
        of_hosts.append(host_process(order))
        return of_hosts[-1]

    monkeypatch.setattr(engines, "_host_process", noted)
    monkeypatch.setattr(engines, "peak_bytes", lambda: 7)
    config = small()
    cuts = cuts_of(config, CutChoice.EXACT)
    local, grpc = (
        time_steps(engine, config, cuts, hosts=2, repeats=1) for engine in (Engine.LOCAL, Engine.GRPC)
    )
    assert grpc.bytes_per_step == local.bytes_per_step > 0
    assert local.peak_memory_bytes == 7
    assert grpc.peak_memory_bytes == 7 + sum(of_hosts)
    assert len(of_hosts) == 2
    assert min(of_hosts) > 2**20


def test_a_run_through_flower_has_the_same_steps_with_full_batches(monkeypatch):
    runs = []

    def run_here(config, folder, *, supernodes, display):
        train_locally(config, hosts=supernodes, display=display, judged=False)
        runs.append((config, read_metrics(config.folder), folder))

    monkeypatch.setattr(engines, "run_with_flower", run_here)
    config = small()
    cuts = cuts_of(config, CutChoice.EXACT)
    timed = time_steps(Engine.FLOWER, config, cuts, hosts=2, repeats=4)
    ((ran, (line,), folder),) = runs
    assert line["steps"] == WARM_UP_STEPS + 4
    assert line["hosts"] == ran.min_hosts == 2
    assert {client["samples"] for client in line["clients"]} == {2 * (WARM_UP_STEPS + 4)}
    assert {client["id"]: tuple(client["cut"]) for client in line["clients"]} == cuts
    assert timed.bytes_per_step == time_steps(Engine.LOCAL, config, cuts, hosts=1, repeats=1).bytes_per_step
    counted = line["step_seconds"]["after_warm_up"]
    assert (timed.seconds_min, timed.seconds, timed.seconds_max) == (
        *(counted["least"], counted["median"], counted["most"]),
    )
    assert (folder / "pyproject.toml").is_file()
    assert not ran.output.exists()


def test_the_folder_of_a_failed_run_stays_since_the_error_names_its_log(monkeypatch):
    folders = []

    def fail(config, folder, *, supernodes, display):
        folders.append(config.output)
        raise FlowerRunError("the whole log is in there")

    monkeypatch.setattr(engines, "run_with_flower", fail)
    config = small()
    with pytest.raises(FlowerRunError):
        time_steps(Engine.FLOWER, config, cuts_of(config, CutChoice.EXACT), hosts=2, repeats=1)
    assert folders[0].is_dir()
    shutil.rmtree(folders[0])


def test_cuts_are_mixed_or_the_solvers():
    config = small(clients=5)
    assert cuts_of(config, CutChoice.MIXED) == mixed_cuts(model_spec_of(config), 5)
    everywhere = small(**{"cuts.solver": "fixed", "cuts.fixed": "2,1,1,2"})
    assert set(cuts_of(everywhere, CutChoice.EXACT).values()) == {(2, 1, 1, 2)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "flower"), "--cuts mixed"),
        (("--engine", "grpc", "--hosts", "3"), "2 clients for 3 hosts"),
        (("--precision", "bf16", "--wire", "half"), "saves nothing"),
    ],
)
def test_what_cannot_be_measured_is_said_before(arguments, message):
    printed = bench_step(*arguments)
    assert printed.exit_code == 2
    assert message in printed.output
