"""``flwr run`` with the right settings, watched until it is over.

Flower's own command only submits a run, and leaves a SuperLink behind that serves other checkouts too. Here a
SuperLink with a home and ports of its own is started, used for one run and stopped. What the run does is read
from its folder; whether it succeeded, from Flower.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huscf_flwr.config import RunConfig, to_run_config
from huscf_flwr.training.checkpoint import checkpoint_of
from huscf_flwr.training.display import Display
from huscf_flwr.training.interruption import InterruptedRunError, StopRequest
from huscf_flwr.training.run_folder import read_metrics, read_progress, read_summary

_START_SECONDS = 60.0
_POLL_SECONDS = 0.5
_STATUS_SECONDS = 8.0
_BIN = Path(sys.executable).parent
_APP_FOLDER = Path(__file__).resolve().parent.parent


class FlowerRunError(RuntimeError):
    """Flower could not start the run, or the run failed."""


@dataclass(frozen=True)
class PrivateSuperLink:
    """A SuperLink in simulation mode that serves nobody else."""

    environment: dict[str, str]
    log: Path


def run_with_flower(
    config: RunConfig,
    app: Path,
    *,
    supernodes: int,
    display: Display,
    cores_each: int = 1,
    stop: StopRequest | None = None,
) -> dict[str, Any]:
    """Run the Flower app in folder ``app`` with ``config`` on ``supernodes`` virtual SuperNodes.

    Ray sets ``cores_each`` of the machine's cores aside for each; with one, all of them run side by side.
    Returns the run's summary. Raises ``FlowerRunError`` with the end of the log if the run does not finish,
    and ``InterruptedRunError`` once Flower has stopped it because ``stop`` was asked for.
    """
    stop = stop or StopRequest()
    home = config.output / ".flower" / config.name
    with private_superlink(home) as superlink:
        settings = home / "run-config.toml"
        settings.write_text(_toml(config), "utf-8")
        started = time.time()
        run_id = _submit(superlink, app, settings, _federation(supernodes, cores_each))
        try:
            status = _watch(superlink, run_id, config, display, started, stop)
        except KeyboardInterrupt:
            _flwr(superlink, "stop", run_id, "--format", "json")
            raise
        log = _log_of(superlink, run_id)
    has_begun = _is_of_this_run(config.folder, started)
    log_file = (config.folder if has_begun else home) / "flower.log"
    log_file.write_text(log, "utf-8")
    if stop.cause is not None and status != "finished:completed":
        progress = read_progress(config.folder) if has_begun else None
        raise InterruptedRunError(
            stop.cause, progress["round"] if progress else None, config.folder if has_begun else None
        )
    if status != "finished:completed":
        raise FlowerRunError(f"the run ended as {status}; the whole log is {log_file}\n{_reason(log)}")
    summary = read_summary(config.folder)
    display.end(summary)
    return summary


def app_folder() -> Path:
    """Return the folder of the Flower app; raises ``FileNotFoundError`` where this is no checkout."""
    if not (_APP_FOLDER / "pyproject.toml").is_file():
        raise FileNotFoundError(
            f"Flower runs a checkout of huscf-flwr, and {_APP_FOLDER} is none; use --engine local"
        )
    return _APP_FOLDER


@contextmanager
def private_superlink(home: Path) -> Iterator[PrivateSuperLink]:
    """Start a SuperLink with ``home`` as its own FLWR_HOME and free ports; stop it at the end."""
    home.mkdir(parents=True, exist_ok=True)
    http, control = _free_ports(2)
    environment = {
        **os.environ,
        "FLWR_HOME": str(home),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(http),
        "FLWR_LOCAL_CONTROL_API_PORT": str(control),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
        "PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    command = [
        *(str(_BIN / "flower-superlink"), "--insecure", "--simulation", "--isolation", "subprocess"),
        *("--control-api-address", f"127.0.0.1:{control}", "--host", "127.0.0.1", "--port", str(http)),
        *("--database", str(home / "state.db")),
    ]
    log = home / "superlink.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_up(process, http, log)
        yield PrivateSuperLink(environment, log)
    finally:
        _stop_group(process)


def _federation(supernodes: int, cores_each: int) -> str:
    cores = max(supernodes, os.cpu_count() or 1) if cores_each == 1 else os.cpu_count()
    return f"num-supernodes={supernodes} client-resources-num-cpus={cores_each} init-args-num-cpus={cores}"


def _submit(superlink: PrivateSuperLink, app: Path, settings: Path, federation: str) -> str:
    answer = _flwr(
        superlink,
        *("run", str(app), "--run-config", str(settings), "--federation-config", federation),
        *("--format", "json"),
    )
    if not answer.get("success", False) or "run-id" not in answer:
        raise FlowerRunError(f"flwr run refused the run: {answer}")
    return str(answer["run-id"])


def _watch(
    superlink: PrivateSuperLink,
    run_id: str,
    config: RunConfig,
    display: Display,
    started: float,
    stop: StopRequest,
) -> str:
    shown = _rounds_before(config, display)
    asked = time.monotonic()
    is_stopping = False
    while True:
        time.sleep(_POLL_SECONDS)
        ended = False
        if stop.cause is not None and not is_stopping:
            _flwr(superlink, "stop", run_id, "--format", "json")
            is_stopping = ended = True
        if _is_of_this_run(config.folder, started):
            shown = _show(config, display, shown)
            ended = ended or (config.folder / "summary.json").exists()
        # Each question to Flower starts a process, which costs a second of a core that trains.
        if ended or time.monotonic() - asked > _STATUS_SECONDS:
            asked = time.monotonic()
            status = _status(superlink, run_id)
            if status.startswith("finished"):
                return status


def _is_of_this_run(folder: Path, started: float) -> bool:
    config = folder / "config.yaml"
    return config.exists() and config.stat().st_mtime >= started


def _rounds_before(config: RunConfig, display: Display) -> int:
    checkpoint = checkpoint_of(config)
    if checkpoint is None:
        return 0
    display.note(f"goes on from {checkpoint.run_folder} after round {checkpoint.state.round}")
    return checkpoint.state.round


def _show(config: RunConfig, display: Display, shown: int) -> int:
    lines = read_metrics(config.folder)
    for line in lines[shown:]:
        display.round(line, config.rounds)
    progress = read_progress(config.folder)
    if progress and progress["round"] > len(lines):
        display.step(progress["round"], progress["step"], progress["steps"])
    return len(lines)


def _status(superlink: PrivateSuperLink, run_id: str) -> str:
    answer = _flwr(superlink, "list", "--run-id", run_id, "--format", "json")
    runs = answer.get("runs", [])
    return str(runs[0]["status"]) if runs else "unknown"


def _log_of(superlink: PrivateSuperLink, run_id: str) -> str:
    command = [str(_BIN / "flwr"), "log", run_id, "--show"]
    done = subprocess.run(
        command, env=superlink.environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


def _flwr(superlink: PrivateSuperLink, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(_BIN / "flwr"), *arguments],
        env=superlink.environment,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C reaches every process of a terminal's group: it is ours to answer
    )
    try:
        answer = json.loads(done.stdout[done.stdout.index("{") :])
    except ValueError:
        raise FlowerRunError(f"flwr {arguments[0]} failed: {done.stdout}{done.stderr}") from None
    assert isinstance(answer, dict)
    return answer


def _reason(log: str) -> str:
    lines = log.splitlines()
    errors = [line for line in lines if "Error" in line or "ERROR" in line]
    return "\n".join([*errors[-5:], "", *lines[-15:]])


def _toml(config: RunConfig) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in to_run_config(config).items())


def _wait_until_up(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise FlowerRunError(f"flower-superlink did not start; its log is {log}")


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    for signal, patience in ((15, 10.0), (9, 5.0)):
        try:
            os.killpg(process.pid, signal)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
