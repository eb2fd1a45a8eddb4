"""``flwr run`` with the right settings, watched until it is over.

Flower's own command only submits a run, and leaves a SuperLink behind that serves other checkouts too. Here a
SuperLink with a home and ports of its own is started, used for one run and stopped. What the run does is read
from its folder; whether it succeeded, from Flower. In a simulation the SuperLink makes virtual SuperNodes; in
a deployment (``huscf_flwr.deployment``) real ones connect to it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import torch

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.config import RunConfig
from huscf_flwr.flower.log_display import why_ended_early
from huscf_flwr.flower.run_settings import listed_settings, overriding, toml_value
from huscf_flwr.flower.superlink import FlowerRunError, PrivateSuperLink, private_superlink
from huscf_flwr.flower.told_lines import private_home
from huscf_flwr.flower.watching import WatchedFolder, watch
from huscf_flwr.methods import method_of
from huscf_flwr.naming import by_count
from huscf_flwr.run.check import check_port
from huscf_flwr.run.display import Display
from huscf_flwr.run.folder_lock import held
from huscf_flwr.run.interruption import InterruptedRunError, StopRequest
from huscf_flwr.run.run_folder import make_way, read_progress, read_summary
from huscf_flwr.run.run_log import why_ended

_RAY_STARTS = "in init_ray"
"""Where Flower's simulation was, says its traceback, if Ray did not start."""
_TRACEBACK = re.compile(
    r"^.*Traceback \(most recent call last\):\n(?:.*\n)*?(?:\(.*?\) )?[\w.]+(?:Error|Exception)\b.*$",
    re.MULTILINE,
)
"""The first one of a log, whose lines may have the names of Ray's actors before them."""


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
    show: Callable[[], None] = lambda: None
    """Shows what it has done since it was looked at last."""

    @property
    def lacked_ray(self) -> bool:
        """Whether it failed because Ray did not start, as happens on a busy machine; no step was made."""
        return not self.has_begun and self.cause is None and _RAY_STARTS in self.log.read_text("utf-8")

    def summary(self, display: Display) -> dict[str, Any]:
        """Show and return the run's summary, once its SuperLink is gone: until then a stopped run trains on.

        Raises ``FlowerRunError`` with the end of the log if the run did not finish, and
        ``InterruptedRunError`` if that is because it was to stop. What the run itself says of its end goes
        before what Flower says.
        """
        folder = self.config.folder if self.has_begun else None
        if self.status == "finished:completed":
            summary = read_summary(self.config.folder)
            display.end(summary)
            return summary
        if self.cause is not None:
            self.show()
            progress = read_progress(folder) if folder is not None else None
            raise InterruptedRunError(self.cause, progress["round"] if progress else None, folder)
        if self.lacked_ray:
            raise FlowerRunError(
                "Ray, which Flower simulates SuperNodes with, did not start, as happens on a busy machine; "
                f"run it again, or with --engine local; the whole log is {self.log}"
            )
        log = self.log.read_text("utf-8", "replace")
        said = (why_ended(folder) if folder is not None else "") or why_ended_early(log)
        if said:
            raise FlowerRunError(f"{said}; the whole log is {self.log}")
        reason = _reason(log)
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
    home = private_home(config)
    check_port(config, method_of(config))
    nodes = f"{supernodes} {by_count(supernodes, 'SuperNode', 'SuperNodes')}"
    display.note(f"starting Flower: a SuperLink and {nodes}")
    with held(home), private_superlink(home) as superlink:
        ended = run_on(superlink, config, app, display, *federation, stop=stop)
    return ended.summary(display)


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
    start, as on a machine that is busy, the run is submitted once more. An earlier run of the name is moved
    aside before, so that what is in the folder is the run's own. Raises ``FolderInUseError`` if another
    process writes there.
    """
    with held(config.folder):
        make_way(config.folder, config.resume, display.note)
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
    write_atomically(settings, _toml(config, app).encode(), durable=False)
    watched = WatchedFolder(config, display)
    run_id = _submit(superlink, app, settings, federation)
    try:
        status = watch(superlink, run_id, watched, stop)
    except KeyboardInterrupt:
        superlink.stop(run_id)
        raise
    log = (config.folder if watched.has_begun else superlink.home) / "flower.log"
    write_atomically(log, superlink.log_of(run_id).encode(), durable=False)
    return EndedRun(config, status, log, watched.has_begun, stop.cause, watched.show)


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
            f"Flower does not carry {', '.join(lost)}: add them to [tool.flwr.app.config] in "
            f"{app / 'pyproject.toml'}; for settings of a method of your own, make an app of your own"
        )
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in settings.items())
