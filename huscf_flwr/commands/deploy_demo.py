"""``huscf deploy demo``: a whole deployment on this machine."""

from __future__ import annotations

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import Overrides, RunName, read_run_config
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.deployment.demo import run_deployed
from huscf_flwr.flower.app import app_folder
from huscf_flwr.run.check import check_run
from huscf_flwr.run.display import TerminalDisplay
from huscf_flwr.run.interruption import stop_requests


def deploy_demo_command(config: RunName = "deploy-demo", settings: Overrides = None) -> None:
    """Run CONFIG on a SuperLink and SuperNodes of its own, with TLS and keys, all on this machine."""
    with errors_as_messages(["huscf", "deploy", "demo"]) as kept, TerminalDisplay() as display:
        run = read_run_config(config, settings)
        with progress_told(Paced(display.note)):
            # Its devices get images that are to be seen here, so networks have as many classes.
            checked = check_run(run, run.clients, trains_here=False)
        if checked.networks is not None:
            display.note(checked.networks)
        run = checked.asked
        del checked  # Flower's processes load their own images.
        app = app_folder()
        kept.watch(run.folder)
        with stop_requests() as stop:
            run_deployed(run, app, display=display, stop=stop)
        display.note(f"report: {run.folder / 'report.html'}")
