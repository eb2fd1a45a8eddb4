"""Flower's own commands, as one would type them on a server and on devices."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huscf_flwr.background_process import background_process, free_ports
from huscf_flwr.deployment.credentials import NodeKey, ServerCredentials
from huscf_flwr.flower_run import BIN, PrivateSuperLink, flower_environment, private_superlink

_CONNECTION = "deployment"


@dataclass(frozen=True)
class SuperNode:
    """A running ``flower-supernode``."""

    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def secure_superlink(home: Path, credentials: ServerCredentials) -> Iterator[PrivateSuperLink]:
    """Start a SuperLink with TLS that lets in SuperNodes with a registered key only; stop it at the end."""
    arguments = (
        *("--ssl-ca-certfile", str(credentials.authority)),
        *("--ssl-certfile", str(credentials.certificate)),
        *("--ssl-keyfile", str(credentials.key)),
        "--enable-supernode-auth",
    )
    with private_superlink(home, arguments, credentials.authority) as superlink:
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "{_CONNECTION}"\n\n[superlink.{_CONNECTION}]\n'
            f"address = {json.dumps(superlink.address)}\n"
            f"root-certificates = {json.dumps(str(credentials.authority))}\n",
            "utf-8",
        )
        yield superlink


def register(superlink: PrivateSuperLink, key: NodeKey) -> int:
    """Let the SuperNode with this key in; return its node id."""
    return int(superlink.flwr("supernode", "register", str(key.public))["node-id"])


@contextmanager
def supernode(
    superlink: PrivateSuperLink,
    home: Path,
    authority: Path,
    key: NodeKey,
    node_config: Mapping[str, int | str],
) -> Iterator[SuperNode]:
    """Start a SuperNode with ``home`` as its own FLWR_HOME, and its log there; stop it at the end."""
    home.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    command = [
        *(str(BIN / "flower-supernode"), "--superlink", superlink.address),
        *("--root-certificates", str(authority)),
        *("--auth-supernode-private-key", str(key.private)),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--node-config", " ".join(f"{name}={json.dumps(value)}" for name, value in node_config.items())),
    ]
    log = home / "supernode.log"
    with background_process(command, flower_environment(home), log) as process:
        yield SuperNode(process, log)
