"""What is written of a run: the objects of ``metrics.jsonl``, ``evaluations.jsonl`` and ``summary.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import mean, median
from typing import Any

from huscf_flwr.cuts import PresetChoice
from huscf_flwr.evaluation.own_models import OwnScores, spread_of
from huscf_flwr.methods.contract import Method
from huscf_flwr.run.rounds import ClosedRound, Rounds

WARM_UP_STEPS = 3
"""First steps of a round in which hosts come one after the other and memory is taken."""

Scores = Mapping[str, Any]


def line_of(method: Method, closed: ClosedRound) -> dict[str, Any]:
    """Return what is known of a round that is over, but for what only a judge knows."""
    opened, collected = closed.opened, closed.collected
    session, uploads = opened.session, collected.uploads
    return {
        "round": opened.number,
        "seconds": round(closed.seconds, 3),
        "steps": opened.steps,
        "hosts": len(session.hosts),
        "step_seconds": _step_seconds(session.step_seconds),
        "server_step_seconds": collected.executor_s if session.step_seconds else None,
        "losses": {
            name: mean(known)
            for name in method.client.losses
            if (known := [upload.losses[name] for upload in uploads.values() if name in upload.losses])
        },
        "bytes": {way: dict(opened.ledger.by_kind(way)) for way in ("up", "down")},
        "facts": dict(closed.outcome.facts),
        "clients": [_client(method, closed, client) for client in uploads],
        "drop_outs": [
            {"id": client, **asdict(dropped)} for client, dropped in sorted(session.dropped.items())
        ],
    }


def evaluation_of(
    rounds: Rounds, scores: Mapping[int, OwnScores], drop_outs: Mapping[int, str]
) -> dict[str, Any]:
    """Return how clients found models of their own after the last round.

    ``scores`` and the reasons of ``drop_outs`` are by client id. ``trained`` is how many of the clients with
    scores have finished a round so far; the others have the models that they began with.
    """
    return {
        "round": rounds.number,
        "thorough": not rounds.left,
        "trained": len(scores.keys() & rounds.trained),
        "scores": spread_of(scores),
        "clients": [
            {"id": client, **{on: dict(each) for on, each in own.items()}}
            for client, own in sorted(scores.items())
        ],
        "drop_outs": [{"id": client, "reason": reason} for client, reason in sorted(drop_outs.items())],
    }


def summary_of(
    rounds: Rounds,
    lines: Sequence[Mapping[str, Any]],
    *,
    seconds: float,
    scores: Scores | None,
    domains: Scores | None,
    client_scores: Mapping[str, Mapping[str, float]],
    own_models: Scores,
    wire: PresetChoice | None = None,
) -> dict[str, Any]:
    """Return what is known of a run.

    ``client_scores`` are by product, ``own_models`` what clients found of models of their own, and ``lines``
    those of all rounds; ``wire`` is how ``wire.preset: auto`` was decided.
    """
    config, method = rounds.config, rounds.method
    return {
        "name": config.name,
        "method": config.method,
        "mode": config.mode,
        "seed": config.seed,
        "rounds": rounds.number,
        "seconds": round(seconds, 1),
        "bytes": {
            way: sum(count for line in lines for count in line["bytes"][way].values())
            for way in ("up", "down")
        },
        "products": {
            product.name: {
                "clients": list(product.clients),
                **({"client_scores": dict(own)} if (own := client_scores.get(product.name)) else {}),
            }
            for product in method.products()
        },
        "clusters": _clusters(method, scores),
        "domains": domains,
        **({"own_models": dict(own_models)} if own_models else {}),
        **({} if wire is None else {"wire": wire.as_json()}),
        **({"client_memory": memory} if (memory := _client_memory(lines)) else {}),
    }


def _client(method: Method, closed: ClosedRound, client: int) -> dict[str, Any]:
    times = closed.collected.step_times.get(client)
    ledger, upload = closed.opened.ledger, closed.collected.uploads[client]
    return {
        "id": client,
        "samples": method.clients[client].samples,
        "losses": dict(upload.losses),
        **({"step_seconds": asdict(times)} if times is not None else {}),
        **({"round_seconds": asdict(upload.times)} if upload.times is not None else {}),
        **({"memory": dict(upload.memory)} if upload.memory else {}),
        "bytes": {way: ledger.by_client(way).get(client, 0) for way in ("up", "down")},
        **closed.outcome.clients.get(client, {}),
    }


def _client_memory(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return, by phase, the most bytes of a client in any round: the mean over the clients, and the most."""
    most: dict[str, dict[int, int]] = {}
    for client in (client for line in lines for client in line["clients"]):
        for phase, count in client.get("memory", {}).items():
            of_phase = most.setdefault(phase, {})
            of_phase[client["id"]] = max(count, of_phase.get(client["id"], 0))
    return {
        phase: {"mean": mean(counts.values()), "most": max(counts.values())} for phase, counts in most.items()
    }


def _clusters(method: Method, scores: Scores | None) -> dict[str, Any] | None:
    clusters = method.clusters()
    if not clusters:
        return None
    members: dict[str, list[int]] = {}
    for client, cluster in sorted(clusters.items()):
        members.setdefault(str(cluster), []).append(client)
    return {"count": len(members), "ari": (scores or {}).get("ari"), "members": members}


def _step_seconds(seconds: Sequence[float]) -> dict[str, Any] | None:
    """Return what the steps of a round took, and those after the first ones, if it is that long."""
    if not seconds:
        return None
    later = seconds[WARM_UP_STEPS:]
    return {**_spread(seconds), **({"after_warm_up": _spread(later)} if later else {})}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "least": min(values), "most": max(values)}
