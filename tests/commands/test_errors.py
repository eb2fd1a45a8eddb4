import errno
import os
import signal
import subprocess

import pytest
import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.run.interruption import InsistedError, InterruptedRunError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("rounds is 0"), "error: rounds is 0"),
        (RuntimeError(), "error: RuntimeError"),
        (subprocess.TimeoutExpired("flwr list", 3), "error: Command 'flwr list' timed out after 3 seconds"),
        (subprocess.CalledProcessError(1, "flwr"), "error: Command 'flwr' returned non-zero exit status 1."),
    ],
)
def test_what_a_user_can_act_on_is_a_message(capsys, error, message):
    with pytest.raises(typer.Exit) as ended, errors_as_messages():
        raise error
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == f"{message}\n"


@pytest.mark.parametrize(
    ("settings", "more"), [("resume_round: null", ""), ("resume_round: 2", " --set resume_round=null")]
)
def test_a_run_that_was_stopped_says_how_to_go_on_in_a_line_to_paste(tmp_path, capsys, settings, more):
    folder = tmp_path / "my runs" / "demo"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "checkpoint" / "server-0003.json").touch()
    (folder / "config.yaml").write_text(settings)
    stopped = InterruptedRunError(signal.SIGINT, 4, folder)
    with pytest.raises(typer.Exit) as ended, errors_as_messages(["huscf", "run"], ["--engine", "local"]):
        raise stopped
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err.splitlines() == [
        f"stopped by SIGINT in round 4; round 3 is the last that is kept in {folder}",
        "to go on:",
        f"huscf run '{folder}/config.yaml' --set 'resume={folder}'{more} --engine local",
    ]


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        (None, "nothing has been done yet; the same command begins again"),
        ("empty", "no round is finished yet, so there is nothing to resume"),
    ],
)
def test_a_run_that_has_kept_nothing_has_nothing_to_go_on_with(tmp_path, capsys, folder, said):
    with pytest.raises(typer.Exit), errors_as_messages(["huscf", "run"]):
        raise InterruptedRunError(signal.SIGINT, None, folder and tmp_path / folder)
    assert capsys.readouterr().err == f"stopped by SIGINT; {said}\n"


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_run_that_is_stopped_at_once_and_has_kept_nothing_says_so(tmp_path, capsys, has_begun):
    """Also one that was to go on in a folder which has rounds of before."""
    write_kept(tmp_path, rounds=not has_begun)
    with pytest.raises(typer.Exit), errors_as_messages(["huscf", "run"]) as kept:
        kept.watch(tmp_path)
        if has_begun:
            os.utime(tmp_path / "config.yaml", (0, 0))
        raise InsistedError(signal.SIGINT)
    said = ["stopped by SIGINT at once", "no round is finished yet; the same command begins again"]
    assert capsys.readouterr().err.splitlines() == said


@pytest.mark.parametrize("is_reported", [True, False])
@pytest.mark.parametrize("error", [InsistedError(signal.SIGINT), OSError("disk")])
def test_a_run_that_is_trained_and_judged_is_not_to_go_on(tmp_path, capsys, error, is_reported):
    """All that it can lack is its report; that of before it was resumed is another."""
    write_kept(tmp_path)
    (tmp_path / "report.html").touch()
    os.utime(tmp_path / "report.html", (1, 1))
    with pytest.raises(typer.Exit), errors_as_messages(["huscf", "run"]) as kept:
        kept.watch(tmp_path)
        os.utime(tmp_path / "config.yaml", (0, 0))
        (tmp_path / "summary.json").touch()
        os.utime(tmp_path / "summary.json", (1, 1) if is_reported else (2, 2))
        raise error
    again = f"huscf run {tmp_path}/config.yaml --set resume={tmp_path}"
    assert capsys.readouterr().err.splitlines()[1:] == (
        [f"all is trained and judged; report: {tmp_path}/report.html"]
        if is_reported
        else ["all is trained and judged; to judge again, for its report:", again]
    )


def write_kept(folder, rounds=True):
    """Write what a run has left that has written no summary."""
    (folder / "config.yaml").write_text("rounds: 5")
    if rounds:
        (folder / "checkpoint").mkdir()
        (folder / "checkpoint" / "server-0003.json").touch()


def test_a_round_that_was_finished_while_the_run_was_stopped_is_not_said_to_be_stopped_in(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "server-0003.json").touch()
    said = str(InterruptedRunError(signal.SIGINT, 3, tmp_path))
    assert said == f"stopped by SIGINT; round 3 is the last that is kept in {tmp_path}"


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(AssertionError), errors_as_messages():
        raise AssertionError


@pytest.mark.parametrize("begun", [True, False])
def test_a_run_that_has_failed_says_how_to_go_on_if_a_round_of_it_is_kept(tmp_path, capsys, begun):
    """What an earlier run of the name has left is not its own."""
    write_kept(tmp_path)
    # However the clocks stand.
    os.utime(tmp_path / "config.yaml", (2**32, 2**32))
    with pytest.raises(typer.Exit), errors_as_messages(["huscf", "run"], ["--engine", "local"]) as kept:
        kept.watch(tmp_path)
        if begun:
            os.utime(tmp_path / "config.yaml", (0, 0))
        raise OSError(errno.ENOSPC, "No space left on device; it cannot be written", "a")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: [Errno 28] No space left on device; it cannot be written: 'a'")
    again = f"huscf run {tmp_path}/config.yaml --set resume={tmp_path} --engine local"
    assert lines[1:] == (["to go on:", again] if begun else [])


def test_an_exit_status_that_a_command_chose_is_its_own(capsys):
    with pytest.raises(typer.Exit) as ended, errors_as_messages():
        raise typer.Exit(1)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == ""
