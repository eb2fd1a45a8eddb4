"""``huscf deploy check``: a node config as our ClientApp will read it, before Flower has it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.flower.owner import KEYS, Owner, owner_of, read_node_config, root_certificates_of
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
            say(_how_to_look(owner))
        vouched = root_certificates_of(context) is not None
        say("takes an executor " + ("with TLS only" if vouched else "with or without TLS"))
        say("takes part in " + (f"a run only with {', '.join(demanded)}" if demanded else "any run"))
        if owner is not None and owner.largest_delta is not None:
            most = "" if owner.largest_epsilon is None else f" and at most {owner.largest_epsilon:g}"
            say(f"spends the run's epsilon{most}, at a delta of at most {owner.largest_delta:g}")
        for key in context.node_config:
            if key not in KEYS:
                say(f"note: {key} is not read by this app; there are {', '.join(KEYS)}")


def _how_to_look(owner: Owner) -> str:
    """Return the command that shows what images a device has, as it will read them."""
    place = owner.data_folder
    if isinstance(place, Path) and not place.exists():
        return f"note: {place} is not on this machine; where it is, huscf data check shows what is in it"
    options = {
        "--first-label": owner.first_label or None,
        "--class-names": ",".join(owner.class_names) or None,
        "--image-column": owner.image_column,
        "--label-column": owner.label_column,
    }
    given = [word for option, value in options.items() if value for word in (option, str(value))]
    return f"to look at its images: {shlex.join(['huscf', 'data', 'check', str(place), *given])}"
