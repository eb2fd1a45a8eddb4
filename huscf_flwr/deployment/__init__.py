"""A deployment: what its server and its devices need before they start, and a whole one on this machine.

``credentials`` makes certificates and keys, ``client_data`` writes what each device would hold, ``processes``
starts Flower's own commands, and ``demo`` puts them together.
"""

from huscf_flwr.deployment.client_data import write_client_data
from huscf_flwr.deployment.credentials import (
    CredentialsError,
    NodeKey,
    ServerCredentials,
    make_node_key,
    make_server_credentials,
)
from huscf_flwr.deployment.demo import Deployment, deploy, deployed_config, run_deployed
from huscf_flwr.deployment.processes import SuperNode, secure_superlink, supernode

__all__ = [
    "CredentialsError",
    "Deployment",
    "NodeKey",
    "ServerCredentials",
    "SuperNode",
    "deploy",
    "deployed_config",
    "make_node_key",
    "make_server_credentials",
    "run_deployed",
    "secure_superlink",
    "supernode",
    "write_client_data",
]
