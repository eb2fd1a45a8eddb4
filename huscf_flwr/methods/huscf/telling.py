"""What people are told of a round: facts for metrics and reports, and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from huscf_flwr.cuts import Reselection
from huscf_flwr.federation import RoundResult
from huscf_flwr.models import BlockKey, Cut


def facts_of_clients(
    result: RoundResult[BlockKey], joined: Mapping[int, int], cuts: Mapping[int, Cut]
) -> dict[int, dict[str, Any]]:
    """Return the facts of each client: of those in the averages, and of those that have just ``joined``."""
    averaged = {
        client: {
            "cluster": cluster,
            "cut": list(cuts[client]),
            "weight": result.cluster_weights[client],
            "global_weight": result.global_weights[client],
            "divergence": result.divergences[client],
        }
        for client, cluster in result.clusters.items()
    }
    others = {
        client: {"cluster": cluster, "cut": list(cuts[client]), "weight": 0.0, "global_weight": 0.0}
        for client, cluster in joined.items()
    }
    return dict(sorted({**averaged, **others}.items()))


def facts_of_new_cuts(
    reselection: Reselection,
    before: Mapping[int, Cut],
    after: Mapping[int, Cut],
    output_changes: Mapping[int, float],
) -> dict[str, Any]:
    """Return what is told of new cuts; ``output_changes`` are of the clients that get one."""
    return {
        "step_seconds_before": reselection.before_s,
        "step_seconds_predicted": reselection.solution.latency_s,
        "moving_seconds": reselection.cost_s,
        "clients": [
            {
                "id": client,
                "before": list(before[client]),
                "after": list(after[client]),
                "output_change": change,
            }
            for client, change in sorted(output_changes.items())
        ],
    }


def parted_note(bodies: int) -> str:
    """Return what is said when bodies part."""
    return f"rounds agree on {bodies} clusters: from now on each has bodies of its own, and its clients stay"


def new_cuts_note(new_cuts: Mapping[str, Any]) -> str:
    """Return what is said of new cuts, from their facts."""
    moves = "; ".join(
        f"client {move['id']} from {_words(move['before'])} to {_words(move['after'])} "
        f"(generated images change by {move['output_change']:.4f})"
        for move in new_cuts["clients"]
    )
    return (
        f"new cuts: {moves}; predicted step {new_cuts['step_seconds_before']:.4g} s before, "
        f"{new_cuts['step_seconds_predicted']:.4g} s from now on"
    )


def _words(cut: Sequence[int]) -> str:
    return " ".join(map(str, cut))
