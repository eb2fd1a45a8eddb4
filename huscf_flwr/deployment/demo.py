"""A whole deployment on one machine: a SuperLink, and a SuperNode with data of its own for every client."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import deal_devices
from huscf_flwr.deployment.client_data import write_client_data
from huscf_flwr.deployment.credentials import ServerCredentials, make_node_key, make_server_credentials
from huscf_flwr.deployment.processes import SuperNode, register, secure_superlink, supernode
from huscf_flwr.flower.launch import run_on
from huscf_flwr.flower.superlink import PrivateSuperLink
from huscf_flwr.flower.told_lines import private_home
from huscf_flwr.methods import method_of
from huscf_flwr.run.check import check_port
from huscf_flwr.run.display import Display
from huscf_flwr.run.folder_lock import held
from huscf_flwr.run.interruption import StopRequest

_NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Deployment:
    """What runs, and where its things lie."""

    superlink: PrivateSuperLink
    credentials: ServerCredentials
    node_ids: dict[int, int]
    """Flower's node ids by client."""
    supernodes: dict[int, SuperNode]
    """By client."""
    notes: tuple[str, ...]
    """What was done with the images that a reader may not expect, and what is odd about them."""


def run_deployed(
    config: RunConfig, app: Path, *, display: Display, stop: StopRequest | None = None
) -> dict[str, Any]:
    """Run the Flower app in folder ``app`` with ``config`` on a deployment that lives as long as the run.

    Returns the run's summary. Raises ``FlowerRunError`` with the end of the log if the run does not finish,
    and ``InterruptedRunError`` once Flower has stopped it because ``stop`` was asked for.
    """
    display.note(f"starting a SuperLink with TLS and {config.clients} SuperNodes, each with a key of its own")
    with deploy(config) as deployment:
        for note in deployment.notes:
            display.note(f"note: {note}")
        secured = deployed_config(config, deployment.credentials)
        ended = run_on(deployment.superlink, secured, app, display, stop=stop)
    return ended.summary(display)


def deployed_config(config: RunConfig, credentials: ServerCredentials) -> RunConfig:
    """Return ``config`` with TLS on the split executor too, and all clients waited for."""
    secure = {"certificate": credentials.certificate, "key": credentials.key}
    executor = config.executor.model_copy(update=secure)
    return config.model_copy(update={"min_hosts": config.clients, "executor": executor})


@contextmanager
def deploy(config: RunConfig) -> Iterator[Deployment]:
    """Start a SuperLink, and for each client a SuperNode that owns it; stop them at the end.

    The SuperNodes hold the images and the device profiles that the clients have in a simulation. All that
    belongs to them lies in Flower's folder for the run; their keys and their state are kept between runs.
    """
    home = private_home(config)
    check_port(config, method_of(config))
    with held(home):
        yield from _deployed(config, home)


def _deployed(config: RunConfig, home: Path) -> Iterator[Deployment]:
    credentials = make_server_credentials(home / "certificates", _NAMES, replace=True)
    data = write_client_data(config, home / "data", replace=True)
    devices = deal_devices(config)
    keys = {client: make_node_key(home / "keys" / f"client-{client}") for client in data.paths}
    with ExitStack() as stack:
        superlink = stack.enter_context(secure_superlink(home, credentials))
        with ThreadPoolExecutor() as pool:
            registered = pool.map(partial(register, superlink), keys.values())
            node_ids = dict(zip(keys, registered, strict=True))
        nodes = {}
        for client, folder in data.paths.items():
            node_config: dict[str, int | str] = {
                "client-id": client,
                "data-folder": str(folder),
                "state-folder": str(home / "state" / f"client-{client}"),
                "device-profile": f"{config.cuts.devices}:{devices[client].name}",
                "root-certificates": str(credentials.authority),
            }
            if client in data.class_names:
                node_config["class-names"] = ",".join(data.class_names[client])
            place = home / "supernodes" / f"client-{client}"
            nodes[client] = stack.enter_context(
                supernode(superlink, place, credentials.authority, keys[client], node_config)
            )
        try:
            yield Deployment(superlink, credentials, node_ids, nodes, data.notes)
        finally:
            # All at once: each takes seconds to say goodbye to the SuperLink.
            for node in nodes.values():
                node.process.terminate()
