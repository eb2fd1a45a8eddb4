"""What Flower's command line answers, without a SuperLink."""

import subprocess
import sys
import tomllib
from contextlib import nullcontext

import pytest

from huscf_flwr.config import load_config
from huscf_flwr.flower import launch
from huscf_flwr.flower import superlink as superlink_module
from huscf_flwr.flower.launch import app_folder, run_on, run_with_flower
from huscf_flwr.flower.superlink import (
    FlowerRunError,
    PrivateSuperLink,
    flower_environment,
    private_superlink,
)
from huscf_flwr.run.interruption import StopRequest
from tests.run.builders import SilentDisplay


@pytest.fixture
def superlink(tmp_path, monkeypatch):
    """A SuperLink whose ``flwr`` prints the content of a file, which may be a command's own."""
    monkeypatch.setattr(superlink_module, "BIN", tmp_path)
    command = tmp_path / "flwr"
    command.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        f"own = pathlib.Path({str(tmp_path / 'answer')!r} + '-' + sys.argv[1])\n"
        f"print(sys.argv[1], file=pathlib.Path({str(tmp_path / 'asked')!r}).open('a'))\n"
        f"print((own if own.exists() else own.with_name('answer')).read_text())\n"
    )
    command.chmod(0o755)
    return PrivateSuperLink(tmp_path, flower_environment(tmp_path), "127.0.0.1:1", tmp_path / "log")


def test_an_answer_is_found_among_other_words(superlink, tmp_path):
    (tmp_path / "answer").write_text('Using SuperLink: x\n{"success": true, "node-id": 3}')
    assert superlink.flwr("supernode", "register", "key.pub") == {"success": True, "node-id": 3}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("no such command", "flwr supernode failed: no such command"),
        (
            '{"success": false, "error-message": "Public key already in use."}',
            "flwr supernode failed: Public key already in use",
        ),
    ],
)
def test_a_failure_is_told_in_flowers_words(superlink, tmp_path, answer, message):
    (tmp_path / "answer").write_text(answer)
    with pytest.raises(FlowerRunError, match=message):
        superlink.flwr("supernode", "register", "key.pub")


@pytest.mark.parametrize("status", ["finished:completed", "running"])
def test_a_run_that_cannot_be_stopped_has_ended_or_is_an_error(superlink, tmp_path, status):
    (tmp_path / "answer-stop").write_text('{"success": false, "error-message": "Run 3 is not running."}')
    (tmp_path / "answer-list").write_text(f'{{"success": true, "runs": [{{"status": "{status}"}}]}}')
    assert superlink.status("3") == status
    if status == "running":
        with pytest.raises(FlowerRunError, match=r"flwr stop failed: Run 3 is not running"):
            superlink.stop("3")
    else:
        superlink.stop("3")


@pytest.fixture
def not_started(monkeypatch):
    """Families of SuperLinks that are not started, so that nobody listens at their addresses."""
    trees = []
    monkeypatch.setattr(
        launch, "background_process", lambda command, tree, log: nullcontext(trees.append(tree))
    )
    monkeypatch.setattr(superlink_module, "_wait_until_up", lambda *given: None)
    yield trees
    for tree in trees:
        tree.kill()


def test_flower_starts_no_superlink_of_its_own_where_ours_does_not_answer(not_started, tmp_path):
    with private_superlink(tmp_path) as superlink, pytest.raises(FlowerRunError, match=r"flwr list failed"):
        superlink.flwr("list")
    assert not (tmp_path / "local-superlink").exists()


def test_commands_talk_to_the_superlink_that_is_there_now(not_started, tmp_path):
    """The folder is kept between runs, the port is not; with a certificate, the connection has TLS."""
    authority = tmp_path / "ca.crt"
    for trusted, security in ((None, {"insecure": True}), (authority, {"root-certificates": str(authority)})):
        with private_superlink(tmp_path, trusted=trusted) as superlink:
            found = tomllib.loads((tmp_path / "config.toml").read_text())["superlink"]
        assert found[found["default"]] == {"address": superlink.address, **security}


def test_what_a_command_starts_ends_with_the_superlink(not_started, tmp_path):
    with private_superlink(tmp_path) as superlink:
        assert [superlink.environment] == [tree.environment for tree in not_started]


@pytest.fixture
def silent(superlink, monkeypatch):
    """A SuperLink whose ``flwr`` does not come to an end."""
    command = launch.BIN / "flwr"
    command.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    monkeypatch.setattr(superlink_module, "_COMMAND_SECONDS", 0.2)
    return superlink


def test_a_command_that_does_not_end_is_given_up(silent):
    with pytest.raises(FlowerRunError, match=r"flwr list failed: no answer within 0 seconds"):
        silent.status("3")


def test_a_log_that_flower_does_not_give_is_a_note(silent):
    assert silent.log_of("3") == (
        "the log of the run is not here: flwr log failed: no answer within 0 seconds\n"
    )


def test_commands_are_out_of_reach_of_a_terminals_ctrl_c(superlink, monkeypatch):
    given = []
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **options: given.append(options) or subprocess.CompletedProcess(command, 0, "{}", ""),
    )
    superlink.status("3")
    superlink.log_of("3")
    assert [options["start_new_session"] for options in given] == [True, True]


class Answers:
    """Of a SuperLink to questions for the status of a run; None is a failure."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def status(self, run_id):
        answer = self.answers.pop(0)
        if answer is None:
            raise FlowerRunError("flwr list failed")
        return answer


def watch(answers, tmp_path):
    config = load_config("demo", [f"output={tmp_path}"])
    return launch._watch(answers, "3", config, SilentDisplay(), 0.0, 0, StopRequest())


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(launch, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(launch, "_STATUS_SECONDS", -1.0)


def test_a_run_goes_on_though_flower_fails_to_answer_twice(impatient, tmp_path):
    answers = Answers(None, None, "running", None, None, "finished:completed")
    assert watch(answers, tmp_path) == "finished:completed"


def test_a_run_is_given_up_if_flower_fails_to_answer_three_times(impatient, tmp_path):
    answers = Answers("running", None, None, None, "finished:completed")
    with pytest.raises(FlowerRunError, match="flwr list failed"):
        watch(answers, tmp_path)
    assert answers.answers == ["finished:completed"]


def test_of_a_failed_run_the_first_traceback_is_shown_and_the_end_of_its_log():
    first = (
        "(ClientAppActor pid=7) Traceback (most recent call last):\n"
        '(ClientAppActor pid=7)   File "participant.py", line 3, in load\n'
        '(ClientAppActor pid=7)     raise ValueError("no images")\n'
        "(ClientAppActor pid=7) ValueError: no images"
    )
    second = 'Traceback (most recent call last):\n  File "x.py"\nRuntimeError: the others left'
    log = "\n".join(["INFO: begins", first, *["INFO: waits"] * 40, second, "ERROR: exit code 1"])
    reason = launch._reason(log)
    assert reason.startswith(first + "\n")
    assert reason.endswith("ERROR: exit code 1")
    assert len(reason.splitlines()) < 25


@pytest.mark.parametrize(
    ("log", "submitted"),
    [
        ('File "raybackend.py", line 119, in init_ray\nRuntimeError: Timed out waiting for a port', 2),
        ("ValueError: rounds", 1),
    ],
)
def test_a_run_is_submitted_once_more_only_if_ray_did_not_start(
    superlink, tmp_path, monkeypatch, log, submitted
):
    monkeypatch.setattr(launch, "private_superlink", lambda home: nullcontext(superlink))
    monkeypatch.setattr(launch, "_STATUS_SECONDS", 0.0)
    (tmp_path / "answer-run").write_text('{"success": true, "run-id": 3}')
    (tmp_path / "answer-list").write_text('{"success": true, "runs": [{"status": "finished:failed"}]}')
    (tmp_path / "answer-log").write_text(log)
    config = load_config("demo", [f"output={tmp_path}"])
    with pytest.raises(FlowerRunError, match=r"finished:failed(.|\n)*Error"):
        run_with_flower(config, app_folder(), supernodes=2, display=SilentDisplay())
    assert (tmp_path / "asked").read_text().split().count("run") == submitted


def test_a_run_is_not_submitted_if_flower_would_not_carry_all_its_settings(superlink, tmp_path):
    method = "tests.methods.two_exchanges:TwoExchanges"
    settings = [f"output={tmp_path}", f"method={method}", "two_exchanges.steps=5"]
    config = load_config("demo", settings)
    problem = (
        r"Flower does not carry two-exchanges\.steps: add .* to \[tool\.flwr\.app\.config\] in pyproject"
    )
    with pytest.raises(FlowerRunError, match=problem):
        run_on(superlink, config, app_folder(), SilentDisplay())
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("device", "found", "supernodes", "share"),
    [
        ("auto", 0, 2, None),
        ("cpu", 1, 2, None),
        ("cuda", 1, 1, 1.0),
        ("cuda", 1, 2, 0.5),
        ("auto", 1, 6, 0.1666),
        ("cuda", 2, 3, 0.5),
        ("cuda", 4, 2, 1.0),
    ],
)
def test_supernodes_share_the_gpus_of_the_machine(tmp_path, monkeypatch, device, found, supernodes, share):
    told = []

    def submit(superlink, config, app, display, *federation, stop):
        told.extend(federation)
        raise FlowerRunError("that is all")

    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: found)
    monkeypatch.setattr(launch, "private_superlink", lambda home: nullcontext())
    monkeypatch.setattr(launch, "run_on", submit)
    config = load_config("demo", [f"compute.device={device}", f"output={tmp_path}"])
    with pytest.raises(FlowerRunError, match="that is all"):
        run_with_flower(config, tmp_path, supernodes=supernodes, display=SilentDisplay())
    settings = dict(part.split("=") for part in told[1].split())
    assert told[0] == "--federation-config"
    assert settings.get("client-resources-num-gpus") == (None if share is None else str(share))


def test_rounds_that_a_run_takes_over_are_known_without_reading_its_checkpoint(tmp_path):
    """Which is read once, by the run itself."""
    before, display = tmp_path / "before", SilentDisplay()
    (before / "checkpoint").mkdir(parents=True)
    for number in (3, 4):
        (before / "checkpoint" / f"server-{number:04}.json").write_text("damaged")
    for settings, rounds in (([], 4), (["resume_round=3"], 3)):
        config = load_config("demo", [f"output={tmp_path}", f"resume={before}", *settings])
        assert launch._rounds_before(config, display) == rounds
        assert display.notes[-1] == f"goes on from {before} after round {rounds}"
    assert launch._rounds_before(load_config("demo"), display) == 0
