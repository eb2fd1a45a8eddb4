import json

import pytest
from typer.testing import CliRunner

from huscf_flwr.bench.scale import ScalePoint, plot_scale
from huscf_flwr.commands.main import app


def bench_scale(*arguments):
    return CliRunner().invoke(app, ["bench", "scale", *arguments])


@pytest.mark.slow
def test_a_whole_round_is_measured_for_each_number_of_clients(tmp_path):
    picture = tmp_path / "scale.png"
    printed = bench_scale(
        *("--clients", "2,4", "--batch-size", "2", "--steps", "3", "--format", "json"), "--plot", str(picture)
    )
    assert printed.exit_code == 0, printed.output
    few, more = (ScalePoint(**point) for point in json.loads(printed.stdout)["points"])
    assert (few.clients, more.clients) == (2, 4)
    for point in (few, more):
        steps = 3 * point.clients * point.step_seconds
        assert 0 < steps / 3 < point.round_seconds
        assert 0 < point.before_seconds + point.after_seconds < point.round_seconds
        assert point.processor_seconds > 0
        assert 0 < point.memory_per_client_bytes * point.clients < point.peak_memory_bytes
    # Weights, gradients and two moments of the heaviest and the lightest cuts of the demo's networks.
    assert 4e6 < more.state_per_client_bytes < 8e6
    assert picture.stat().st_size > 0


@pytest.mark.parametrize("clients", ["", "0", "8,many", "8,-1"])
def test_what_is_no_number_of_clients_is_named(clients):
    printed = bench_scale("--clients", clients)
    assert printed.exit_code == 2
    assert "give whole numbers from one" in printed.output


def test_a_single_point_can_be_plotted(tmp_path):
    for suffix in ("png", "svg"):
        plot_scale([ScalePoint(8, 0.1, 0.2, 3.0, 1.0, 1.0, 10**9, 1e7, 6e6)], tmp_path / f"one.{suffix}")
        assert (tmp_path / f"one.{suffix}").stat().st_size > 0
