"""Flower's own commands, as one would type them on a server and on devices."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from huscf_flwr.background_process import ProcessTree, background_process, free_ports
from huscf_flwr.deployment.credentials import NodeKey, ServerCredentials
from huscf_flwr.flower.run_settings import toml_value
from huscf_flwr.flower.superlink import (
    PrivateSuperLink,
    flower_command,
    flower_environment,
    private_superlink,
)


@dataclass(frozen=True)
class SuperNode:
    """A running ``flower-supernode``."""

    process: subprocess.Popen[bytes]
    log: Path


def secure_superlink(home: Path, credentials: ServerCredentials) -> AbstractContextManager[PrivateSuperLink]:
    """Start a SuperLink with TLS that lets in SuperNodes with a registered key only; stop it at the end."""
    arguments = (
        *("--ssl-ca-certfile", str(credentials.authority)),
        *("--ssl-certfile", str(credentials.certificate)),
        *("--ssl-keyfile", str(credentials.key)),
        "--enable-supernode-auth",
    )
    return private_superlink(home, arguments, credentials.authority)


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
        *(flower_command("flower-supernode"), "--superlink", superlink.address),
        *("--root-certificates", str(authority)),
        *("--auth-supernode-private-key", str(key.private)),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--node-config", " ".join(f"{name}={toml_value(value)}" for name, value in node_config.items())),
    ]
    log = home / "supernode.log"
    with background_process(command, ProcessTree(flower_environment(home)), log) as process:
        yield SuperNode(process, log)
