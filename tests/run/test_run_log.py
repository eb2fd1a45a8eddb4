import json
import logging
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from huscf_flwr.run.interruption import InterruptedRunError
from huscf_flwr.run.run_log import LOG_NAME, LOGGERS, RunLog, log_length, new_warnings

LOGGER = logging.getLogger("huscf_flwr.somewhere")


def lines(folder):
    return [json.loads(line) for line in (folder / LOG_NAME).read_text().splitlines()]


def test_a_line_says_when_how_grave_which_run_round_and_client(tmp_path):
    before = datetime.now(UTC)
    with RunLog("mine") as log:
        log.write_to(tmp_path)
        LOGGER.info("begins with %s", 3)
        log.round = 2
        LOGGER.warning("drops out: %s", "silent", extra={"client": 0})
    first, second = lines(tmp_path)
    times = [datetime.fromisoformat(line.pop("time")) for line in (first, second)]
    assert all(time.utcoffset().total_seconds() == 0 for time in times)
    assert all(abs((time - before).total_seconds()) < 3600 for time in times)
    assert first == {"level": "INFO", "run": "mine", "round": None, "message": "begins with 3"}
    assert second == {
        "level": "WARNING",
        "run": "mine",
        "round": 2,
        "client": 0,
        "message": "drops out: silent",
    }


def test_what_is_said_before_the_folder_is_there_comes_first(tmp_path):
    with RunLog("mine") as log:
        LOGGER.info("early")
        log.write_to(tmp_path)
        LOGGER.info("late")
    assert [line["message"] for line in lines(tmp_path)] == ["early", "late"]


def test_a_resumed_run_adds_to_the_log(tmp_path):
    for word in ("one", "two"):
        with RunLog("mine") as log:
            log.write_to(tmp_path)
            LOGGER.info(word)
    assert [line["message"] for line in lines(tmp_path)] == ["one", "two"]


@pytest.mark.parametrize("name", LOGGERS)
def test_nothing_is_left_behind(tmp_path, name):
    logger = logging.getLogger(name)
    before = (logger.level, list(logger.handlers))
    with RunLog("mine") as log:
        log.write_to(tmp_path)
        logger.info("within")
    logger.info("after")
    assert (logger.level, logger.handlers) == before
    assert [line["message"] for line in lines(tmp_path)] == ["within"]


def test_what_ends_the_run_is_its_last_line(tmp_path):
    with pytest.raises(RuntimeError, match="no more"), RunLog("mine") as log:
        log.write_to(tmp_path)
        log.round = 4
        raise RuntimeError("no more")
    (line,) = lines(tmp_path)
    assert (line["level"], line["round"]) == ("ERROR", 4)
    assert line["message"].startswith("the run ends: RuntimeError: no more (")
    assert "Traceback" in line["exception"]


@pytest.mark.parametrize(
    ("interruption", "message"),
    [
        (
            InterruptedRunError(signal.SIGINT, 2, Path("not-there")),
            "the run ends: stopped by SIGINT in round 2; no round",
        ),
        (KeyboardInterrupt(), "the run ends: interrupted"),
    ],
)
def test_an_interruption_is_no_error(tmp_path, interruption, message):
    with pytest.raises(type(interruption)), RunLog("mine") as log:
        log.write_to(tmp_path)
        raise interruption
    (line,) = lines(tmp_path)
    assert line["level"] == "WARNING"
    assert line["message"].startswith(message)
    assert "exception" not in line


def test_other_programs_are_not_listened_to(tmp_path):
    with RunLog("mine") as log:
        log.write_to(tmp_path)
        logging.getLogger("ray").error("theirs")
        logging.getLogger("flwr").error("Flower's own")
        LOGGER.debug("too fine")
    assert lines(tmp_path) == []


def test_a_full_disk_does_not_end_the_training(tmp_path, monkeypatch):
    class FullDisk:
        def write(self, line):
            raise OSError("no space left on device")

        def close(self):
            pass

    monkeypatch.setattr(logging, "raiseExceptions", False)
    with RunLog("mine") as log:
        log.write_to(tmp_path)
        log._file.close()
        log._file = FullDisk()
        LOGGER.error("lost")


def test_each_warning_is_read_once_and_when_it_is_whole(tmp_path):
    def line(level, message):
        return json.dumps({"level": level, "message": message}) + "\n"

    assert log_length(tmp_path) == 0
    assert new_warnings(tmp_path, 0) == ([], 0)
    log = tmp_path / "log.jsonl"
    half = line("WARNING", "ö, half written")
    log.write_text(line("WARNING", "of an earlier run, ö"), "utf-8")
    before = log_length(tmp_path)
    with log.open("a", encoding="utf-8") as file:
        file.write(line("INFO", "no") + line("WARNING", "one") + half[:20])
    found, position = new_warnings(tmp_path, before)
    assert found == ["one"]
    assert new_warnings(tmp_path, position) == ([], position)
    with log.open("a", encoding="utf-8") as file:
        file.write(half[20:] + "{broken\n" + line("WARNING", "two"))
    found, position = new_warnings(tmp_path, position)
    assert found == ["ö, half written", "two"]
    assert position == log_length(tmp_path) == log.stat().st_size
