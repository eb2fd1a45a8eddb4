"""A deployment: what its server and its devices need before they start, and a whole one on this machine.

``credentials`` makes certificates and keys, ``client_data`` writes what each device would hold, ``processes``
starts Flower's own commands, and ``demo`` puts them together; import these two by name, so that a device that
makes its key needs nothing of theirs.
"""

from huscf_flwr.deployment.client_data import ClientFolders, write_client_data
from huscf_flwr.deployment.credentials import (
    CredentialsError,
    NodeKey,
    ServerCredentials,
    make_node_key,
    make_server_credentials,
)

__all__ = [
    "ClientFolders",
    "CredentialsError",
    "NodeKey",
    "ServerCredentials",
    "make_node_key",
    "make_server_credentials",
    "write_client_data",
]
