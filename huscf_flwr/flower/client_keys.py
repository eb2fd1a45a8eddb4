"""Which SuperNode may speak for which client: bound to its key when first seen, and kept with the run.

Where SuperNodes are authenticated, Flower lets nobody in whose key is not registered, and tells the ServerApp
the key that each SuperNode has proved to have. Node ids are no such thing: a SuperLink that starts anew gives
others. So a client id belongs to a key, in a run and in those that resume it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from flwr.serverapp import Grid

from huscf_flwr.tensor_files import write_json

_FILE = "client-keys.json"


class ClientKeyError(RuntimeError):
    """A SuperNode says that it owns a client that is bound to another SuperNode's key."""


def fingerprint(public_key: bytes) -> str:
    """Return the fingerprint of a public key (PEM), as ``ssh-keygen -lf`` shows that of its file."""
    line = load_pem_public_key(public_key).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def keys_of_nodes(grid: Grid) -> dict[int, str]:
    """Return the fingerprint of each connected SuperNode's key by node id."""
    return {node.node_id: fingerprint(node.public_key) for node in grid.get_nodes()}


def bind(
    known: Mapping[int, str], owned: Mapping[int, int], keys: Mapping[int, str], where: Path
) -> dict[int, str]:
    """Bind the clients that are seen for the first time; return all bindings, fingerprints by client.

    Args:
        known: bindings so far.
        owned: node ids by client, as the SuperNodes say.
        keys: fingerprints by node id.
        where: the file of the bindings so far, for the message.

    Raises ``ClientKeyError`` naming both keys if a client is bound to another key.
    """
    for client, node in owned.items():
        if client in known and known[client] != keys[node]:
            raise ClientKeyError(
                f"SuperNode {node} (key {keys[node]}) says that it owns client {client}, which belongs to "
                f"the SuperNode with key {known[client]}; give it another client-id, or, if the device was "
                f"replaced, remove client {client} from {where}"
            )
    return {**known, **{client: keys[node] for client, node in owned.items()}}


def keys_file(run_folder: Path) -> Path:
    """Return the file in which a run's bindings are kept."""
    return run_folder / _FILE


def read_client_keys(run_folder: Path) -> dict[int, str]:
    """Return a run's bindings, fingerprints by client; empty where there are none.

    Raises ``ClientKeyError`` if the file is damaged: without it, anybody could take over a client.
    """
    path = keys_file(run_folder)
    if not path.is_file():
        return {}
    try:
        return {int(client): str(key) for client, key in json.loads(path.read_text("utf-8")).items()}
    except (ValueError, AttributeError) as error:
        raise ClientKeyError(f"{path} is damaged: {error}; restore or delete it") from error


def write_client_keys(run_folder: Path, keys: Mapping[int, str]) -> None:
    """Keep a run's bindings."""
    write_json(keys_file(run_folder), {str(client): key for client, key in sorted(keys.items())})
