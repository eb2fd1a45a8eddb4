"""What no attack whatever can break: the guarantee that a run's clients have, in words."""

from __future__ import annotations

from pathlib import Path

from huscf_flwr.accounting import epsilon_of
from huscf_flwr.config import RunConfig
from huscf_flwr.run.checkpoint import client_folder
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.run.spent_budget import all_spent

NONE = "none"
UNIT = "the content of one labelled image of one client, over all trainings on its device"


def spent_epsilon(config: RunConfig, folder: Path) -> float | None:
    """Return the largest epsilon that a client of the run in ``folder`` has spent.

    None if nothing bounds what its clients tell. What clients tell is what they had spent after a round that
    ended; what virtual ones wrote down has what they spent in rounds that did not, too. Raises
    ``MissingExtraError`` where that cannot be counted.
    """
    if config.privacy.epsilon is None:
        return None
    told = (float(client.get("epsilon", 0.0)) for line in read_metrics(folder) for client in line["clients"])
    written = (epsilon_of(spent, config.privacy.delta) for spent in all_spent(client_folder(folder)))
    return max([*told, *written, 0.0])


def guarantee(config: RunConfig, folder: Path) -> str:
    """Return epsilon and delta, and what they are worth; ``none`` if there is no guarantee."""
    epsilon = spent_epsilon(config, folder)
    if epsilon is None:
        return NONE
    bound = f"epsilon {epsilon:.3g} at delta {config.privacy.delta:g}"
    if not all_spent(client_folder(folder)):
        bound += ", of rounds that ended"
    return bound if config.privacy.noise == "secret" else f"{bound}, had its noise been secret"


def sentence(config: RunConfig, folder: Path) -> str:
    """Return the same with unit and adversary."""
    found = guarantee(config, folder)
    if found == NONE:
        return "nothing is guaranteed"
    return f"{found}: for {UNIT}, against everybody who sees all that crosses; no attack was tried"
