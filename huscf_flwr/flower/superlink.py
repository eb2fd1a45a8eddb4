"""A SuperLink with a home and ports of its own, and what ``flwr`` says to it."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.background_process import ProcessTree, background_process, free_ports
from huscf_flwr.flower.run_settings import toml_value

_START_SECONDS = 60.0
_POLL_SECONDS = 0.5
_COMMAND_SECONDS = 120.0
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
BIN = Path(sys.executable).parent
"""Where Flower's commands are."""


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
                [flower_command("flwr"), *arguments],
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
        *(flower_command("flower-superlink"), "--isolation", "subprocess", *arguments),
        *("--host", "127.0.0.1", "--port", str(http)),
    ]
    log = home / "superlink.log"
    with background_process(command, tree, log) as process:
        _wait_until_up(process, address, log, trusted)
        yield PrivateSuperLink(home, tree.environment, address, log)


def flower_command(name: str) -> str:
    """Return the path of one of Flower's commands; raises ``FlowerRunError`` if it is not beside Python's."""
    path = BIN / name
    if not path.exists():
        raise FlowerRunError(
            f"there is no {path}: Flower must be installed in the environment that huscf runs in, "
            f"{sys.executable} -m pip install 'huscf-flwr[simulation]'"
        )
    return str(path)


def flower_environment(home: Path) -> dict[str, str]:
    """Return the environment of a Flower process with ``home`` as its own FLWR_HOME."""
    return {
        **os.environ,
        **_past_proxies(os.environ),
        "FLWR_HOME": str(home),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what tells processes to reach this machine without a proxy, beside what they are told already.

    Some libraries read the names in capitals, some the others, and gRPC one of its own before both.
    """
    names = ("no_proxy", "NO_PROXY", *(["no_grpc_proxy"] if "no_grpc_proxy" in environment else []))
    said = {name: environment.get(name, "") for name in names}
    return {name: ",".join(filter(None, (hosts, *_THIS_MACHINE))) for name, hosts in said.items()}


def _write_connection(home: Path, address: str, trusted: Path | None) -> None:
    """Name the SuperLink at ``address`` as the one that ``flwr`` talks to.

    Left to itself, it starts another, which nobody stops, whenever ours is too busy to answer at once.
    """
    security = f"root-certificates = {toml_value(str(trusted))}" if trusted else "insecure = true"
    connection = (
        f'[superlink]\ndefault = "private"\n\n[superlink.private]\naddress = "{address}"\n{security}\n'
    )
    write_atomically(home / "config.toml", connection.encode(), durable=False)


def _wait_until_up(process: subprocess.Popen[bytes], address: str, log: Path, trusted: Path | None) -> None:
    scheme, context = ("https", ssl.create_default_context(cafile=trusted)) if trusted else ("http", None)
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    past_proxies = urllib.request.build_opener(*handlers)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with past_proxies.open(f"{scheme}://{address}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise FlowerRunError(f"flower-superlink did not start; its log is {log}")
