"""``flwr run`` with the right settings, watched until it is over.

Flower's own command only submits a run, and leaves a SuperLink behind that serves other checkouts too. Here a
SuperLink with a home and ports of its own is started, used for one run and stopped. What the run does is read
from its folder; whether it succeeded, from Flower. In a simulation the SuperLink makes virtual SuperNodes; in
a deployment (``huscf_flwr.deployment``) real ones connect to it.
"""

from __future__ import annotations

import json
import math
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import torch

from huscf_flwr.background_process import ProcessTree, background_process, free_ports
from huscf_flwr.config import RunConfig
from huscf_flwr.flower.run_settings import listed_settings, overriding
from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.display import Display
from huscf_flwr.run.interruption import InterruptedRunError, StopRequest
from huscf_flwr.run.run_folder import read_metrics, read_progress, read_summary

_START_SECONDS = 60.0
_POLL_SECONDS = 0.5
_STATUS_SECONDS = 8.0
_STATUS_TRIES = 3
_COMMAND_SECONDS = 120.0
_RAY_STARTS = "in init_ray"
"""Where Flower's simulation was, says its traceback, if Ray did not start."""
_TRACEBACK = re.compile(
    r"^.*Traceback \(most recent call last\):\n(?:.*\n)*?(?:\(.*?\) )?[\w.]+(?:Error|Exception)\b.*$",
    re.MULTILINE,
)
"""The first one of a log, whose lines may have the names of Ray's actors before them."""
BIN = Path(sys.executable).parent
"""Where Flower's commands are."""
_APP_FOLDER = Path(__file__).resolve().parents[2]


class FlowerRunError(RuntimeError):
    """Flower could not start the run, or the run failed."""


@dataclass(frozen=True)
class PrivateSuperLink:
    """A SuperLink that serves nobody else."""

    home: Path
    environment: dict[str, str]
    address: str
    log: Path

    def flwr(self, *arguments: str) -> dict[str, Any]:
        """Return what ``flwr ARGUMENTS`` prints as JSON.

        Raises ``FlowerRunError`` with Flower's words if that is nothing, or that it failed.
        """
        done = self._command(*arguments, "--format", "json")
        try:
            answer = json.loads(done.stdout[done.stdout.index("{") :])
        except ValueError:
            raise FlowerRunError(f"flwr {arguments[0]} failed: {done.stdout}{done.stderr}") from None
        assert isinstance(answer, dict)
        if answer.get("success") is False:
            raise FlowerRunError(f"flwr {arguments[0]} failed: {answer.get('error-message', answer)}")
        return answer

    def status(self, run_id: str) -> str:
        """Return how a run is, in Flower's words."""
        runs = self.flwr("list", "--run-id", run_id).get("runs", [])
        return str(runs[0]["status"]) if runs else "unknown"

    def stop(self, run_id: str) -> None:
        """Stop a run; raises ``FlowerRunError`` if it goes on all the same."""
        try:
            self.flwr("stop", run_id)
        except FlowerRunError:
            # Flower refuses to stop what has ended by itself in the meantime.
            if not self.status(run_id).startswith("finished"):
                raise

    def log_of(self, run_id: str) -> str:
        """Return what a run has logged, or why that is not known: the run itself may be well."""
        try:
            done = self._command("log", run_id, "--show")
        except FlowerRunError as error:
            return f"the log of the run is not here: {error}\n"
        return done.stdout + done.stderr

    def _command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``flwr ARGUMENTS``; raises ``FlowerRunError`` if it does not end."""
        try:
            return subprocess.run(
                [str(BIN / "flwr"), *arguments],
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=_COMMAND_SECONDS,
                start_new_session=True,  # Ctrl-C in a terminal reaches its whole group, and is ours to answer
            )
        except subprocess.TimeoutExpired:
            raise FlowerRunError(
                f"flwr {arguments[0]} failed: no answer within {_COMMAND_SECONDS:.0f} seconds"
            ) from None


@dataclass(frozen=True)
class EndedRun:
    """A run that Flower says is over."""

    config: RunConfig
    status: str
    """In Flower's words."""
    log: Path
    has_begun: bool
    """Whether it has written into its folder."""
    cause: Signals | None
    """What made us stop it, if it has not ended by itself."""

    @property
    def lacked_ray(self) -> bool:
        """Whether it failed because Ray did not start, as happens on a busy machine; no step was made."""
        return not self.has_begun and self.cause is None and _RAY_STARTS in self.log.read_text("utf-8")

    def summary(self, display: Display) -> dict[str, Any]:
        """Show and return the run's summary, once its SuperLink is gone: until then a stopped run trains on.

        Raises ``FlowerRunError`` with the end of the log if the run did not finish, and
        ``InterruptedRunError`` if that is because it was to stop.
        """
        folder = self.config.folder if self.has_begun else None
        if self.status == "finished:completed":
            summary = read_summary(self.config.folder)
            display.end(summary)
            return summary
        if self.cause is not None:
            progress = read_progress(folder) if folder is not None else None
            raise InterruptedRunError(self.cause, progress["round"] if progress else None, folder)
        reason = _reason(self.log.read_text("utf-8"))
        raise FlowerRunError(f"the run ended as {self.status}; the whole log is {self.log}\n{reason}")


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
    Unless ``compute.device`` is ``cpu``, they share its GPUs.
    Returns the run's summary. Raises ``FlowerRunError`` with the end of the log if the run does not finish,
    and ``InterruptedRunError`` once Flower has stopped it because ``stop`` was asked for.
    """
    gpus = 0 if config.compute.device == "cpu" else torch.cuda.device_count()
    federation = _federation(supernodes, cores_each, gpus)
    with private_superlink(private_home(config)) as superlink:
        ended = run_on(superlink, config, app, display, *federation, stop=stop)
    return ended.summary(display)


def app_folder() -> Path:
    """Return the folder of the Flower app; raises ``FileNotFoundError`` where this is no checkout."""
    if not (_APP_FOLDER / "pyproject.toml").is_file():
        raise FileNotFoundError(
            f"Flower runs a checkout of huscf-flwr, and {_APP_FOLDER} is none; use --engine local"
        )
    return _APP_FOLDER


def private_home(config: RunConfig) -> Path:
    """Return the folder of all that Flower keeps for a run."""
    return config.output / ".flower" / config.name


def run_on(
    superlink: PrivateSuperLink,
    config: RunConfig,
    app: Path,
    display: Display,
    *federation: str,
    stop: StopRequest | None = None,
) -> EndedRun:
    """Submit the Flower app in folder ``app`` with ``config``, and watch the run until it is over.

    ``federation`` are further arguments of ``flwr run``. ``stop`` lets Flower stop the run. If Ray does not
    start, as on a machine that is busy, the run is submitted once more.
    """
    ended = _submit_and_watch(superlink, config, app, display, *federation, stop=stop)
    if ended.lacked_ray:
        display.note(f"Ray did not start ({ended.log} says why); trying once more")
        ended = _submit_and_watch(superlink, config, app, display, *federation, stop=stop)
    return ended


def _submit_and_watch(
    superlink: PrivateSuperLink,
    config: RunConfig,
    app: Path,
    display: Display,
    *federation: str,
    stop: StopRequest | None,
) -> EndedRun:
    stop = stop or StopRequest()
    settings = superlink.home / "run-config.toml"
    settings.write_text(_toml(config, app), "utf-8")
    shown = _rounds_before(config, display)
    started = time.time()
    run_id = _submit(superlink, app, settings, federation)
    try:
        status = _watch(superlink, run_id, config, display, started, shown, stop)
    except KeyboardInterrupt:
        superlink.stop(run_id)
        raise
    has_begun = _is_of_this_run(config.folder, started)
    log = (config.folder if has_begun else superlink.home) / "flower.log"
    log.write_text(superlink.log_of(run_id), "utf-8")
    return EndedRun(config, status, log, has_begun, stop.cause)


@contextmanager
def private_superlink(
    home: Path, arguments: Sequence[str] = ("--insecure", "--simulation"), trusted: Path | None = None
) -> Iterator[PrivateSuperLink]:
    """Start a SuperLink with ``home`` as its own FLWR_HOME and free ports; stop it at the end.

    ``arguments`` of ``flower-superlink`` say what it is for; if it serves TLS, ``trusted`` has the
    certificate of the authority that signed its own.
    """
    home.mkdir(parents=True, exist_ok=True)
    (http,) = free_ports(1)
    address = f"127.0.0.1:{http}"
    _write_connection(home, address, trusted)
    tree = ProcessTree({**flower_environment(home), "RAY_DISABLE_DOCKER_CPU_WARNING": "1"})
    command = [
        *(str(BIN / "flower-superlink"), "--isolation", "subprocess", *arguments),
        *("--host", "127.0.0.1", "--port", str(http)),
    ]
    log = home / "superlink.log"
    with background_process(command, tree, log) as process:
        _wait_until_up(process, address, log, trusted)
        yield PrivateSuperLink(home, tree.environment, address, log)


def flower_environment(home: Path) -> dict[str, str]:
    """Return the environment of a Flower process with ``home`` as its own FLWR_HOME."""
    return {
        **os.environ,
        "FLWR_HOME": str(home),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _write_connection(home: Path, address: str, trusted: Path | None) -> None:
    """Name the SuperLink at ``address`` as the one that ``flwr`` talks to.

    Left to itself, it starts another, which nobody stops, whenever ours is too busy to answer at once.
    """
    security = f"root-certificates = {json.dumps(str(trusted))}" if trusted else "insecure = true"
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "private"\n\n[superlink.private]\naddress = "{address}"\n{security}\n',
        "utf-8",
    )


def _federation(supernodes: int, cores_each: int, gpus: int) -> tuple[str, ...]:
    cores = max(supernodes, os.cpu_count() or 1) if cores_each == 1 else os.cpu_count()
    resources = f"client-resources-num-cpus={cores_each} init-args-num-cpus={cores}"
    if gpus:
        # Ray counts in ten-thousandths of a GPU: rounded up, the last share of it would not fit.
        share = math.floor(10_000 / math.ceil(supernodes / gpus)) / 10_000
        resources += f" client-resources-num-gpus={share}"
    return "--federation-config", f"num-supernodes={supernodes} {resources}"


def _submit(superlink: PrivateSuperLink, app: Path, settings: Path, federation: Sequence[str]) -> str:
    answer = superlink.flwr("run", str(app), "--run-config", str(settings), *federation)
    return str(answer["run-id"])


def _watch(
    superlink: PrivateSuperLink,
    run_id: str,
    config: RunConfig,
    display: Display,
    started: float,
    shown: int,
    stop: StopRequest,
) -> str:
    question = _StatusQuestion(superlink, run_id)
    is_stopping = False
    while True:
        time.sleep(_POLL_SECONDS)
        ended = False
        if stop.cause is not None and not is_stopping:
            superlink.stop(run_id)
            is_stopping = ended = True
        if _is_of_this_run(config.folder, started):
            shown = _show(config, display, shown)
            ended = ended or (config.folder / "summary.json").exists()
        if ended or question.is_due:
            status = question.ask()
            if status.startswith("finished"):
                return status


class _StatusQuestion:
    """How a run is, asked now and then: it starts a process, which costs a second of a core that trains."""

    def __init__(self, superlink: PrivateSuperLink, run_id: str) -> None:
        self._superlink = superlink
        self._run_id = run_id
        self._asked = time.monotonic()
        self._failures = 0

    @property
    def is_due(self) -> bool:
        """Whether the last answer is old."""
        return time.monotonic() - self._asked > _STATUS_SECONDS

    def ask(self) -> str:
        """Return Flower's words; raises ``FlowerRunError`` if it fails to answer several times in a row."""
        self._asked = time.monotonic()
        try:
            status = self._superlink.status(self._run_id)
        except FlowerRunError:
            self._failures += 1
            if self._failures == _STATUS_TRIES:
                raise
            return "unknown"
        self._failures = 0
        return status


def _is_of_this_run(folder: Path, started: float) -> bool:
    config = folder / "config.yaml"
    return config.exists() and config.stat().st_mtime >= started


def _rounds_before(config: RunConfig, display: Display) -> int:
    """Return the rounds that the run takes over, which are not shown again."""
    if config.resume is None:
        return 0
    number = config.resume_round or last_round(config.resume) or 0
    display.note(f"goes on from {config.resume} after round {number}")
    return number


def _show(config: RunConfig, display: Display, shown: int) -> int:
    lines = read_metrics(config.folder)
    for line in lines[shown:]:
        display.round(line, config.rounds)
    progress = read_progress(config.folder)
    if progress and progress["round"] > len(lines):
        display.step(progress["round"], progress["step"], progress["steps"])
    return len(lines)


def _reason(log: str) -> str:
    """Return what went wrong first, and how the log ends: the errors in between follow from the first."""
    lines = log.splitlines()
    first = _TRACEBACK.search(log)
    errors = [line for line in lines if "Error" in line or "ERROR" in line]
    return "\n".join([first[0] if first else "\n".join(errors[:5]), "", *lines[-15:]])


def _toml(config: RunConfig, app: Path) -> str:
    settings, lost = overriding(config, listed_settings(app))
    if lost:
        raise FlowerRunError(
            f"Flower does not carry {', '.join(lost)}: add them to [tool.flwr.app.config] in pyproject.toml"
        )
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def _wait_until_up(process: subprocess.Popen[bytes], address: str, log: Path, trusted: Path | None) -> None:
    scheme, context = ("https", ssl.create_default_context(cafile=trusted)) if trusted else ("http", None)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{scheme}://{address}/health", timeout=2, context=context):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise FlowerRunError(f"flower-superlink did not start; its log is {log}")
