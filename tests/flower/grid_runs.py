"""Whole runs on Flower's Grid with all SuperNodes in this process; see ``in_process_grid``."""

from flwr.app import Context, RecordDict

import client_apps
from huscf_flwr.config import to_run_config
from huscf_flwr.run.checkpoint import client_folder, read_checkpoint
from huscf_flwr.run.run_folder import read_metrics
from server_app import make_server_app
from tests.flower.in_process_grid import RUN_ID, SERVER, InProcessGrid
from tests.quick import OF_EACH_WAY
from tests.run.builders import DOMAINS, METHODS, SilentDisplay, kept_files

ON_DEVICES = sorted(METHODS.keys() - {"central"})
"""Those whose clients may be devices."""
EACH_WAY_ON_DEVICES = sorted({*OF_EACH_WAY} - {"central"})
"""Those of them that use a run in different ways."""
DOUBLE = {"compute.precision": "float64"}


def run(config, nodes, *, at_once=None, app=client_apps.app, **parts):
    """Run the ServerApp on these SuperNodes; return the grid with all messages."""
    flat = to_run_config(config)
    grid = InProcessGrid(nodes, flat, at_once=at_once, app=app)
    parts.setdefault("display", SilentDisplay())
    try:
        make_server_app(**parts)(grid, Context(RUN_ID, SERVER, {}, RecordDict(), flat))
    finally:
        grid.close()
    return grid


def hosts(count):
    return {100 + number: {} for number in range(count)}


def owners(root, tmp_path, count=2):
    """SuperNodes that own clients, each with a domain of its own."""
    return {
        200 + client: {
            "client-id": client,
            "data-folder": str(root / DOMAINS[client % 2]),
            "state-folder": str(tmp_path / f"state-{client}"),
            "device-profile": "paper:d2",
        }
        for client in range(count)
    }


def contents(grid, message_type, direction="down"):
    """The contents of all messages of a type that were sent, or have come back."""
    messages = grid.sent if direction == "down" else grid.received
    return [each.content for each in messages if each.metadata.message_type == message_type]


def asked(grid, message_type):
    """Who was sent messages of a type, in the order of node ids."""
    return sorted(m.metadata.dst_node_id for m in grid.sent if m.metadata.message_type == message_type)


def trained_in(config):
    """The clients in each round's averages."""
    return [[client["id"] for client in line["clients"]] for line in read_metrics(config.folder)]


def dropped_in(config):
    """The clients that dropped out of each round."""
    return [[out["id"] for out in line["drop_outs"]] for line in read_metrics(config.folder)]


def training_of(config):
    """The name by which clients know what a run has trained."""
    return read_checkpoint(config.folder).state.training


def client_files(*folders, clients=4, number=3):
    """What the same client kept in each of the folders, client by client."""
    kept = [kept_files(client_folder(folder)) for folder in folders]
    return [files[f"client-{client}-round-{number:04}"] for client in range(clients) for files in kept]
