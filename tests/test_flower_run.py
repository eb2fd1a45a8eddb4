"""What Flower's command line answers, without a SuperLink."""

import sys
from contextlib import nullcontext

import pytest

from huscf_flwr import flower_run
from huscf_flwr.config import load_config
from huscf_flwr.flower_run import FlowerRunError, PrivateSuperLink, flower_environment, run_with_flower
from tests.training.builders import SilentDisplay


@pytest.fixture
def superlink(tmp_path, monkeypatch):
    """A SuperLink whose ``flwr`` prints the content of a file, which may be a command's own."""
    monkeypatch.setattr(flower_run, "BIN", tmp_path)
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


def test_of_a_failed_run_the_first_traceback_is_shown_and_the_end_of_its_log():
    first = (
        "(ClientAppActor pid=7) Traceback (most recent call last):\n"
        '(ClientAppActor pid=7)   File "participant.py", line 3, in load\n'
        '(ClientAppActor pid=7)     raise ValueError("no images")\n'
        "(ClientAppActor pid=7) ValueError: no images"
    )
    second = 'Traceback (most recent call last):\n  File "x.py"\nRuntimeError: the others left'
    log = "\n".join(["INFO: begins", first, *["INFO: waits"] * 40, second, "ERROR: exit code 1"])
    reason = flower_run._reason(log)
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
    monkeypatch.setattr(flower_run, "private_superlink", lambda home: nullcontext(superlink))
    monkeypatch.setattr(flower_run, "_STATUS_SECONDS", 0.0)
    (tmp_path / "answer-run").write_text('{"success": true, "run-id": 3}')
    (tmp_path / "answer-list").write_text('{"success": true, "runs": [{"status": "finished:failed"}]}')
    (tmp_path / "answer-log").write_text(log)
    config = load_config("demo", [f"output={tmp_path}"])
    with pytest.raises(FlowerRunError, match=r"finished:failed(.|\n)*Error"):
        run_with_flower(config, tmp_path, supernodes=2, display=SilentDisplay())
    assert (tmp_path / "asked").read_text().split().count("run") == submitted
