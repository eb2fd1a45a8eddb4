"""What no attack whatever can break: the guarantee that a run's clients have, in words."""

from __future__ import annotations

from pathlib import Path

from huscf_flwr.accounting import epsilon_of
from huscf_flwr.config import RunConfig
from huscf_flwr.run.checkpoint import client_folder
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.run.spent_budget import all_spent

NONE = "none"
SHORT_UNIT = "one labelled image of one client"
UNIT = (
    "the content of one labelled image of one client, over all its trainings with privacy.epsilon on its "
    "device (what it tells in others has no noise, and is not counted)"
)


def spent_epsilon(config: RunConfig, folder: Path) -> float | None:
    """Return the largest epsilon that a client of the run in ``folder`` has spent.

    None if nothing bounds what its clients tell, or nothing is known of what they have spent. What clients
    tell is what they had spent after a round that ended; what virtual ones wrote down has what they spent in
    rounds that did not, too. Raises ``MissingExtraError`` where that cannot be counted.
    """
    if config.privacy.epsilon is None:
        return None
    told = (
        float(client["epsilon"])
        for line in read_metrics(folder)
        for client in line["clients"]
        if "epsilon" in client
    )
    written = (epsilon_of(spent, config.privacy.delta) for spent in all_spent(client_folder(folder)))
    return max([*told, *written], default=None)


def bounding_epsilon(config: RunConfig, folder: Path) -> float | None:
    """Return the epsilon that holds for every client whatever has happened; None if none does.

    Noise from the run's seed is no noise to the server. Where not all is known that clients have spent, it is
    what none of them exceeds.
    """
    if config.privacy.epsilon is None or config.privacy.noise != "secret":
        return None
    spent = spent_epsilon(config, folder)
    complete = bool(all_spent(client_folder(folder)))
    return spent if complete and spent is not None else max(config.privacy.epsilon, spent or 0.0)


def guarantee(config: RunConfig, folder: Path) -> str:
    """Return epsilon and delta, and what they are worth; ``none`` if there is no guarantee."""
    if config.privacy.epsilon is None:
        return NONE
    epsilon = spent_epsilon(config, folder)
    at_delta = f"at delta {config.privacy.delta:g}"
    if epsilon is None:
        bound = f"epsilon {config.privacy.epsilon:g} {at_delta} at most, of which no client has told anything"
    else:
        bound = f"epsilon {epsilon:.3g} {at_delta}"
        if not all_spent(client_folder(folder)):
            bound += ", of rounds that ended"
    return bound if config.privacy.noise == "secret" else f"{bound}, had its noise been secret"


def sentence(config: RunConfig, folder: Path) -> str:
    """Return the same with unit and adversary."""
    found = guarantee(config, folder)
    if found == NONE:
        return "nothing is guaranteed"
    return f"{found}: for {UNIT}, against everybody who sees all that crosses"
