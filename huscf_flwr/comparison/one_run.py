"""One run of a comparison, in a process of its own: ``python -m huscf_flwr.comparison.one_run THREADS``.

It reads the whole configuration from its standard input, as YAML, and says on its standard output how it
ended: nothing if all went well, ``STOPPED``, or why it failed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import replace

import torch
import yaml

from huscf_flwr.comparison.kept import ORIGIN, read_origin, write_origin
from huscf_flwr.comparison.origin import setting_differences
from huscf_flwr.comparison.pictures import draw_pictures
from huscf_flwr.conf_files import validate
from huscf_flwr.config import RunConfig
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.run.check import CheckedRun, check_run, check_settings
from huscf_flwr.run.display import NoDisplay
from huscf_flwr.run.interruption import InterruptedRunError, stop_requests
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.mistakes import told
from huscf_flwr.run.origin import Origin, origin_of

STOPPED = "stopped"

_PARENT_SECONDS = 1.0


def main() -> None:
    """Make the run."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as answer:
        # Whatever else is printed is for the log.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        config = resolved(validate(RunConfig, yaml.safe_load(sys.stdin), "a comparison's run"))
        torch.set_num_threads(int(sys.argv[1]))
        answer.write(_how_it_ended(config))


def _how_it_ended(config: RunConfig) -> str:
    try:
        with stop_requests(quiet=True) as stop:
            _stop_without(os.getppid())
            checked = check_run(config)
            origin = origin_of(checked.config, checked.images)
            checked = _resumed(checked, origin)
            # A host for each client, as on devices: what several clients are sent is counted for each.
            hosts = len(checked.population.partitions)
            train_locally(checked, hosts=hosts, display=NoDisplay(), stop=stop)
        draw_pictures(checked)
        write_origin(config.folder / ORIGIN, origin)
    except (InterruptedRunError, KeyboardInterrupt):
        return STOPPED
    except Exception as error:
        return told(error)
    return ""


def resumable(config: RunConfig, origin: Origin) -> RunConfig:
    """Return the run, with ``resume`` set if its own folder has a checkpoint of what it computes now."""
    folder = config.folder
    again = config.model_copy(update={"resume": folder})
    try:
        checkpoint = check_settings(again, method_of(again))
        if checkpoint is not None:
            checkpoint.check_rounds(again)
    except ValueError:  # there is none, or it cannot be used
        return config
    record = read_run(folder)
    is_another = record.is_finished and read_origin(folder / ORIGIN) is not None
    differs = checkpoint is None or checkpoint.state.origin.differences(origin)
    return config if is_another or differs or setting_differences(record.config, config) else again


def _resumed(checked: CheckedRun, origin: Origin) -> CheckedRun:
    config = resumable(checked.config, origin)
    if config.resume is None:
        return checked
    return replace(checked, config=config, checkpoint=check_settings(config, checked.method))


def _stop_without(parent: int) -> None:
    """Ask this process to stop once its ``parent`` has ended, however that came about."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
