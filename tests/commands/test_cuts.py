import json

import pytest
import yaml

from huscf_flwr.bench import rehearsal
from huscf_flwr.commands import cuts as cuts_module
from huscf_flwr.session import sent_bytes_by
from tests.commands.invoking import invoke, refused, succeeded


def succeed(*arguments):
    return succeeded(invoke(*arguments))


def write_devices(path, devices):
    path.write_text(yaml.safe_dump({"server": {"gflops": 100, "mbit_per_s": 1000}, "devices": devices}))
    return path


def test_json_holds_the_solution():
    found = json.loads(succeed("cuts", "--clients", 80, "--flops", "paper", "--format", "json"))
    assert found["latency_s"] == pytest.approx(7.0025, abs=5e-5)
    assert (found["solver"], found["gap"]) == ("exact", 0.0)
    assert found["seconds"] >= 0
    assert len(found["clients"]) == 80
    assert found["clients"][0] == {"device": "d1", "cut": [1, 1, 1, 1]}
    assert sum(stage["seconds"] for stage in found["stages"]) == pytest.approx(found["latency_s"])


@pytest.mark.parametrize("solver", ["greedy", "fixed"])
def test_a_heuristic_has_no_gap(solver):
    found = json.loads(succeed("cuts", "--clients", 8, "--solver", solver, "--format", "json"))
    assert (found["solver"], found["gap"]) == (solver, None)


def test_table_shows_classes_stages_and_total():
    output = succeed("cuts", "--devices", "paper", "--clients", 80, "--flops", "paper")
    d1 = next(line for line in output.splitlines() if "d1" in line)
    assert [cell.strip() for cell in d1.split("│")[1:-1]] == ["d1", "12", "1 1 1 1", "1.9166", "0.5767"]
    assert "generator head forward" in output
    assert "Total: 7.0025 s per step, solver exact, proven optimum" in output


def test_options_are_stated_in_the_output():
    output = succeed(
        "cuts", "--clients", 7, "--solver", "greedy", "--server-link-shared", "--steps-per-round", 30
    )
    assert "server link shared" in output
    assert "every 30 steps" in output


def test_a_fixed_cut_is_taken_from_the_command_line():
    found = json.loads(
        succeed("cuts", "--clients", 2, "--solver", "fixed", "--cut", "2,1,2,1", "--format", "json")
    )
    assert [client["cut"] for client in found["clients"]] == [[2, 1, 2, 1]] * 2


def test_with_a_local_discriminator_only_generator_cuts_are_chosen():
    found = json.loads(succeed("cuts", "--clients", 7, "--local-discriminator", "--format", "json"))
    assert {tuple(client["cut"][2:]) for client in found["clients"]} == {(5, 0)}
    fixed = ["--solver", "fixed", "--format", "json"]
    lightest = json.loads(succeed("cuts", "--clients", 2, "--local-discriminator", *fixed))
    assert [client["cut"] for client in lightest["clients"]] == [[1, 1, 5, 0]] * 2


def test_private_steps_and_larger_samples_take_longer_and_an_embedding_less():
    seconds = {
        private: json.loads(succeed("cuts", "--clients", 2, *private, "--format", "json"))["latency_s"]
        for private in (
            ("--local-discriminator",),
            ("--private-steps", 1),
            ("--private-steps", 1, "--sample", 256),
            ("--private-steps", 4, "--sample", 256),
            ("--features", 2000),
        )
    }
    usual, one, large, many, embedding = seconds.values()
    assert embedding < usual < one < large < many
    for wrong, message in (
        (("--private-steps", 1, "--features", 4), "two ways to learn privately"),
        (("--sample", 64), "no --private-steps"),
    ):
        assert message in refused(invoke("cuts", "--clients", 2, *wrong))


@pytest.mark.slow
def test_comparison_holds_all_solvers_and_baselines():
    lines = json.loads(succeed("cuts", "--clients", 7, "--compare", "--flops", "paper", "--format", "json"))[
        "placements"
    ]
    names = [line["placement"] for line in lines]
    assert names[:4] == ["exact", "genetic", "greedy", "fixed"]
    assert names[4:] == [
        "whole discriminator on the client, exact",
        "full networks on the client",
        "discriminator only, 1 server batch",
        "discriminator only, 7 server batches",
    ]
    exact = lines[0]
    assert exact["latency_s"] <= min(line["latency_s"] for line in lines[:4])
    assert exact["without_slowest_s"] < exact["latency_s"]


@pytest.mark.slow
def test_comparison_as_a_table():
    output = succeed("cuts", "--clients", 7, "--compare")
    assert "without the slowest" in output
    assert "full networks on the client" in output


@pytest.mark.slow
def test_plot_is_written(tmp_path):
    picture = tmp_path / "latency.svg"
    succeed("cuts", "--clients", 20, "--plot", picture)
    drawn = picture.read_text()
    assert "<svg" in drawn


def test_own_device_and_model_files(tmp_path):
    path = write_devices(tmp_path / "mine.yaml", [{"name": "desk", "gflops": 5, "mbit_per_s": 50}])
    found = json.loads(
        succeed(
            "cuts",
            "--devices",
            path,
            "--clients",
            2,
            "--model",
            "colour-32",
            "--width",
            0.5,
            "--format",
            "json",
        )
    )
    assert [client["device"] for client in found["clients"]] == ["desk", "desk"]


@pytest.mark.slow
def test_benchmark_times_the_search():
    searches = json.loads(succeed("cuts", "benchmark", "--clients", 7, "--seeds", 2, "--format", "json"))[
        "searches"
    ]
    assert len(searches) == 3
    for search in searches:
        assert search["above_optimum"] == pytest.approx([0, 0], abs=1e-9)
        assert search["above_optimum_worst"] == max(search["above_optimum"])
        fewest, most = search["times_faster"]
        assert fewest == pytest.approx(660 / search["seconds"])
        assert most == pytest.approx(840 / search["seconds"])


@pytest.mark.slow
def test_benchmark_as_a_table():
    assert "our defaults" in succeed("cuts", "benchmark", "--clients", 2, "--seeds", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--clients is missing"),
        (["--clients", 0], "clients is 0: at least 1"),
        (["--clients", 3, "--solver", "exakt"], "solver 'exakt' is unknown (did you mean 'exact'?)"),
        (["--clients", 3, "--flops", "true"], "--flops is 'true'; choose one of paper, exact"),
        (["--clients", 3, "--format", "xml"], "'xml' is not one of 'table', 'json'"),
        (["--clients", 3, "--devices", "papr"], "did you mean 'paper'"),
        (["--clients", 3, "--model", "none"], "neither a file nor a known name"),
        (["--clients", 3, "--batch-size", 0], "0 is not in the range x>=2"),
        (["--clients", 3, "--steps-per-round", 0], "steps_per_round is 0"),
        (["--clients", 3, "--solver", "fixed", "--cut", "1,1"], "--cut is '1,1'; give four numbers"),
        (["--clients", 3, "--solver", "fixed", "--cut", "9,1,1,1"], "generator_head keeps 9 blocks"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(arguments, message):
    assert message in refused(invoke("cuts", *arguments))


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"name": "a", "mbit_per_s": 1}, "'devices.0.gflops' is missing"),
        ({"name": "a", "gflops": -1, "mbit_per_s": 1}, "'devices.0.gflops' is -1"),
        (
            {"name": "a", "gflops": 1, "mbit_per_s": 1, "memory_mib": 1},
            "device a: no legal cut under memory_mib = 1",
        ),
    ],
)
def test_bad_profiles_are_refused_with_the_device_and_the_field(tmp_path, device, message):
    path = write_devices(tmp_path / "devices.yaml", [device])
    assert message in refused(invoke("cuts", "--devices", path, "--clients", 2))


REHEARSAL = ("cuts", "measure", "--width", 0.02, "--batch-size", 2, "--steps", 1)


@pytest.fixture
def quickly(monkeypatch):
    """Leave the links and the speed of this machine out: only what the command does is tested."""
    monkeypatch.setattr(
        rehearsal, "measured_step_seconds", lambda problem, cuts, gflops, steps, preset: sum(cuts[0])
    )


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_rehearsal_compares_and_draws(tmp_path):
    picture = tmp_path / "predictions.png"
    steps = json.loads(succeed(*REHEARSAL, "--format", "json", "--plot", picture))["steps"]
    assert {step["measured_s"] for step in steps if step["name"] == "heaviest cuts"} == {8}
    assert picture.read_bytes().startswith(b"\x89PNG")
    table = succeed(*REHEARSAL)
    assert table.index("lightest cuts") < table.index("heaviest cuts")


def test_a_rehearsal_has_the_preset_that_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(
        cuts_module, "rehearse", lambda problem, _, steps, preset: asked.append((problem.sent, preset)) or ()
    )
    succeed(*REHEARSAL, "--preset", "small")
    assert asked == [(sent_bytes_by("small"), "small")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clients", 0], "clients is 0"),
        (["--devices", "nowhere"], "nowhere"),
        (["--format", "xml"], "'xml' is not one of"),
        (["--preset", "auto"], "--preset is 'auto'; choose one of exact, half, small, smallest"),
    ],
)
def test_a_rehearsal_of_bad_input_is_refused(arguments, message):
    assert message in refused(invoke(*REHEARSAL, *arguments))


def test_the_preset_is_chosen_with_the_cuts_and_the_reason_told(tmp_path):
    link = [{"name": "far", "gflops": 10, "mbit_per_s": 0.1}]
    asked = ["cuts", "--devices", write_devices(tmp_path / "slow.yaml", link), "--clients", 2]
    output = " ".join(succeed(*asked, "--preset", "auto").split())
    assert "wire.preset: auto is smallest; predicted for a step: exact" in output
    chosen, named, plain = (
        json.loads(succeed(*asked, *preset, "--format", "json"))
        for preset in (["--preset", "auto"], ["--preset", "smallest"], [])
    )
    assert set(chosen["wire"]["step_s"]) == {"exact", "half", "small", "smallest"}
    assert chosen["latency_s"] == named["latency_s"] == chosen["wire"]["step_s"]["smallest"]
    assert plain["latency_s"] == chosen["wire"]["step_s"]["exact"]
    assert (named["wire"], plain["wire"]) == ({"preset": "smallest"}, {"preset": "exact"})


def test_a_preset_that_there_is_not_is_refused():
    assert "--preset is 'tiny'" in refused(invoke("cuts", "--clients", 2, "--preset", "tiny"))
