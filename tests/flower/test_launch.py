"""How a run is submitted to Flower, watched and given up, without a SuperLink."""

import signal
from contextlib import nullcontext

import pytest

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import load_config
from huscf_flwr.flower import launch, watching
from huscf_flwr.flower.app import app_folder
from huscf_flwr.flower.launch import EndedRun, run_on, run_with_flower
from huscf_flwr.flower.log_display import end_told
from huscf_flwr.flower.superlink import FlowerRunError
from huscf_flwr.run.interruption import InterruptedRunError, StopRequest
from huscf_flwr.run.run_log import RunLog
from tests.flower.scripted_flwr import scripted_superlink
from tests.run.builders import SilentDisplay


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


def test_what_a_run_says_of_its_end_goes_before_what_flower_says(tmp_path):
    config = load_config("demo", [f"output={tmp_path}"])
    config.folder.mkdir(parents=True)
    log = config.folder / "flower.log"
    log.write_text("Traceback (most recent call last):\nKeyError: 'oops'\n")
    ended = EndedRun(config, "finished:failed", log, True, None)
    with pytest.raises(FlowerRunError, match=r"the run ended as finished:failed(.*\n)*.*KeyError"):
        ended.summary(SilentDisplay())
    with pytest.raises(KeyError), RunLog("demo") as run_log:
        run_log.write_to(config.folder)
        {}["oops"]
    with pytest.raises(
        FlowerRunError,
        match=r"^KeyError: 'oops' \(.*test_launch\.py:\d+, in .*\); the whole log is .*flower\.log$",
    ):
        ended.summary(SilentDisplay())


def test_why_a_run_ended_before_it_had_a_folder_is_one_line(tmp_path, caplog):
    """Flower's log has tracebacks before and after it."""
    with pytest.raises(ConfError), end_told():
        raise ConfError("rounds: 0\nis too few")
    (record,) = caplog.records
    log = tmp_path / "flower.log"
    trace = 'Traceback (most recent call last):\n  File "x.py"\nConfError: rounds\n'
    log.write_text(f"INFO: begins\nERROR :     {record.getMessage()}\n{trace}{trace}")
    ended = EndedRun(load_config("demo", [f"output={tmp_path}"]), "finished:failed", log, False, None)
    with pytest.raises(FlowerRunError) as error:
        ended.summary(SilentDisplay())
    assert str(error.value) == f"rounds: 0 is too few; the whole log is {log}"


@pytest.mark.parametrize(
    ("log", "submitted", "said"),
    [
        (
            'File "raybackend.py", line 119, in init_ray\nRuntimeError: Timed out waiting for a port',
            2,
            r"^Ray, .*, did not start, .*; run it again, or with --engine local; the whole log is [^\n]*$",
        ),
        ("ValueError: rounds", 1, r"finished:failed(.|\n)*Error"),
    ],
)
def test_a_run_is_submitted_once_more_only_if_ray_did_not_start(tmp_path, monkeypatch, log, submitted, said):
    superlink = scripted_superlink(tmp_path, monkeypatch)
    monkeypatch.setattr(launch, "private_superlink", lambda home: nullcontext(superlink))
    monkeypatch.setattr(watching, "_STATUS_SECONDS", 0.0)
    (tmp_path / "answer-run").write_text('{"success": true, "run-id": 3}')
    (tmp_path / "answer-list").write_text('{"success": true, "runs": [{"status": "finished:failed"}]}')
    (tmp_path / "answer-log").write_text(log)
    config = load_config("demo", [f"output={tmp_path}"])
    with pytest.raises(FlowerRunError, match=said):
        run_with_flower(config, app_folder(), supernodes=2, display=SilentDisplay())
    assert (tmp_path / "asked").read_text().split().count("run") == submitted


def test_rounds_that_a_run_finished_while_it_was_stopped_are_shown_before_it_is_said_which_are_kept(
    tmp_path, monkeypatch
):
    superlink = scripted_superlink(tmp_path, monkeypatch)
    config, display = load_config("demo", [f"output={tmp_path}"]), SilentDisplay()
    (tmp_path / "answer").write_text('{"success": true, "run-id": 3}')
    (tmp_path / "answer-list").write_text('{"success": true, "runs": [{"status": "finished:stopped"}]}')
    stop = StopRequest(quiet=True)
    stop.take(signal.SIGINT)
    (config.folder / "checkpoint").mkdir(parents=True)

    def begun_once_submitted(*_):
        (config.folder / "config.yaml").write_text("rounds: 9")
        return "3"

    monkeypatch.setattr(launch, "_submit", begun_once_submitted)
    monkeypatch.setattr(launch, "make_way", lambda *_: None)
    ended = run_on(superlink, config, app_folder(), display, stop=stop)
    assert display.rounds == []
    for number in (1, 2):
        (config.folder / "checkpoint" / f"server-{number:04}.json").touch()
    (config.folder / "metrics.jsonl").write_text('{"round": 1}\n{"round": 2}\n')
    (config.folder / "progress.json").write_text('{"round": 2, "step": 1, "steps": 1}')
    with pytest.raises(InterruptedRunError, match=r"^stopped by SIGINT; round 2 is the last that is kept"):
        ended.summary(display)
    assert [line["round"] for line in display.rounds] == [1, 2]


@pytest.mark.parametrize(("supernodes", "nodes"), [(1, "1 SuperNode"), (3, "3 SuperNodes")])
def test_it_is_said_at_once_that_flower_starts(tmp_path, monkeypatch, supernodes, nodes):
    display = SilentDisplay()

    def starting(home):
        assert display.notes == [f"starting Flower: a SuperLink and {nodes}"]
        raise FlowerRunError("that is all")

    monkeypatch.setattr(launch, "private_superlink", starting)
    config = load_config("demo", [f"output={tmp_path}"])
    with pytest.raises(FlowerRunError, match="that is all"):
        run_with_flower(config, app_folder(), supernodes=supernodes, display=display)


def test_a_run_is_not_submitted_if_flower_would_not_carry_all_its_settings(tmp_path, monkeypatch):
    superlink = scripted_superlink(tmp_path, monkeypatch)
    method = "tests.methods.two_exchanges:TwoExchanges"
    settings = [f"output={tmp_path}", f"method={method}", "two_exchanges.steps=5"]
    config = load_config("demo", settings)
    problem = r"Flower does not carry two-exchanges\.steps: add .*config\] in .*pyproject\.toml; for .* own"
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
