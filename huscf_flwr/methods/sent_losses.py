"""Which losses of its clients' training a method's server is told."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.contract import Client, Method


def losses_sent(client: type[Client], config: RunConfig) -> tuple[str, ...]:
    """Return the names of the losses that cross: all that clients of this class have, or none."""
    return client.losses if config.privacy.send_losses else ()


def honoured(method: type[Method]) -> frozenset[str]:
    """Return the settings of privacy that a run with ``method`` honours.

    Whoever runs clients keeps their losses back, whatever the method, if they have some.
    """
    return method.privacy | {"send_losses"} if method.client.losses else method.privacy
