"""``huscf deploy check``: a node config as our ClientApp will read it, before Flower has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.flower.owner import KEYS, owner_of, read_node_config, root_certificates_of
from huscf_flwr.flower.required_privacy import conditions
from huscf_flwr.run.terminal import say


def deploy_check_command(
    node_config: Annotated[
        str, typer.Argument(help="in quotes, as flower-supernode --node-config is given it")
    ],
) -> None:
    """Say what a device's node config is taken for: a SuperNode does not look, and starts with any."""
    with errors_as_messages():
        context = read_node_config(node_config)
        owner = owner_of(context)
        demanded = conditions(context.node_config)
        if owner is None:
            say("hosts virtual clients: neither client-id nor data-folder is given")
        else:
            owner.device()
            say(f"owns client {owner.client}: images {owner.data_folder}, state {owner.state_folder}")
            if isinstance(owner.data_folder, Path) and not owner.data_folder.exists():
                say(f"note: {owner.data_folder} is not on this machine")
            else:
                say(f"to look at its images: huscf data check {owner.data_folder}")
        vouched = root_certificates_of(context) is not None
        say("takes an executor " + ("with TLS only" if vouched else "with or without TLS"))
        say("takes part in " + (f"a run only with {', '.join(demanded)}" if demanded else "any run"))
        for key in context.node_config:
            if key not in KEYS:
                say(f"note: {key} is not read by this app; there are {', '.join(KEYS)}")
