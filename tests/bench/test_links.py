import json

import pytest
from typer.testing import CliRunner

from huscf_flwr.bench.engines import CutChoice, bench_config, cuts_of
from huscf_flwr.bench.links import SpeedHere, problem_over
from huscf_flwr.bench.relay import Link
from huscf_flwr.commands.bench import bench_app

SPEED = SpeedHere(gflops=100.0, packing_ns=10.0)


def config(**settings):
    return bench_config(
        {"clients": 2, "batch_size": 8, "model.spec": "authors-28", "model.width": 0.1, **settings}
    )


def predicted(link, **settings):
    made = config(**settings)
    cuts = cuts_of(made, CutChoice.MIXED)
    return problem_over(link, made, SPEED).latency([cuts[client] for client in sorted(cuts)])


def test_six_round_trips_are_predicted_whatever_else_there_is():
    near, far = predicted(Link(10.0, 0.0)), predicted(Link(10.0, 100.0))
    assert far - near == pytest.approx(6 * 2 * 0.1)


def test_a_link_for_all_is_as_fast_for_each_as_its_part():
    assert predicted(Link(10.0, 5.0)) == pytest.approx(predicted(Link(5.0, 5.0, is_shared=False)))


def test_fewer_bytes_take_less_of_a_slow_link():
    exact, smallest = (predicted(Link(1.0, 5.0), **{"wire.preset": each}) for each in ("exact", "smallest"))
    assert exact > 5 * smallest


def test_links_of_their_own_need_hosts_of_their_own():
    result = CliRunner().invoke(bench_app, ["links", "--own-links", "--clients", "4", "--hosts", "2"])
    assert result.exit_code != 0
    assert "--hosts 4" in result.output


def test_a_command_that_cannot_be_is_told_what_to_write():
    for option, value in (("--presets", "tiny"), ("--rates", "0"), ("--delays", "far")):
        result = CliRunner().invoke(bench_app, ["links", option, value])
        assert result.exit_code != 0
        assert option in result.output


@pytest.mark.slow
def test_steps_through_the_relay_are_timed_and_predicted():
    """By bytes: nothing is timed here but that a step cannot be shorter than its round trips."""
    size = ["--width", "0.05", "--batch-size", "4", "--repeats", "1"]
    link = ["--rates", "1000", "--delays", "10", "--presets", "exact,smallest"]
    result = CliRunner().invoke(bench_app, ["links", *link, *size, "--format", "json"])
    assert result.exit_code == 0, result.output
    exact, smallest = json.loads(result.output)["steps"]
    assert exact["bytes_per_step"] > 5 * smallest["bytes_per_step"]
    for step in (exact, smallest):
        assert step["measured_s"] >= 12 * 0.010
        assert step["link_s"] == pytest.approx(0.12 + step["bytes_per_step"] * 8 / 1e9)
        assert step["round_trips_s"] == pytest.approx(0.12)
