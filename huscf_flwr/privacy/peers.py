"""A8 on the clients of a run: another one of the same average takes its own share out of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from huscf_flwr.data import Population
from huscf_flwr.methods.contract import Method
from huscf_flwr.methods.fedgan import FedGAN
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.models import BlockKey, flatten_blocks, unflatten_blocks
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import DISTANCE, PEER, Finding
from huscf_flwr.privacy.floors import OTHERS_BLOCKS
from huscf_flwr.privacy.peer_view import PeerView

BLOCKS = "blocks of a client, from an average"
_ALONE = "no average that another client is sent has its blocks in it"
_NO_BLOCK = "it has no block that the other one is sent an average of"
_NO_WEIGHT = "the run tells no weight of it"
_SHARED = "nobody has looked at the blocks that are averaged over all clusters"
_PAIR = 2
_NEARLY_ALL = 0.9
"""Share of an average from which on it is nearly one client's blocks, to a tenth."""
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Compared:
    """How far what a peer makes of an average is off the blocks that one client sent."""

    distance: float
    """By the true weight; 1 is that of the average itself."""
    by_guess: float
    """The same by a guess that all count alike."""
    share: float
    """Of the numbers that the client sent, those that are found."""


def others_blocks(
    evidence: Evidence,
    population: Population,  # noqa: ARG001 - what others sent is the truth here
    shadows: int,  # noqa: ARG001
    *,
    kind: str,
) -> list[Finding]:
    """Attack each client by one other of its average, and compare with what it sent as ``kind``.

    All of them, whoever else is attacked. Of two in an average the blocks of the other are found. Of more,
    their average without the peer's own is left, which is nobody's: so many withstand it, and how far off it
    is is among the details. It says nothing of a client that is nearly all of that average.
    """
    method = _as_closed(evidence)
    groups = {client: averaged_together(evidence, client) for client in sorted(evidence.uploads)}
    compared = {
        client: near
        for client, group in groups.items()
        if len(group) > 1 and (near := _compared(evidence, method, group, client, kind)) is not None
    }
    return [_finding(groups, compared, _unsaid(evidence, method, groups))]


def _unsaid(evidence: Evidence, method: Method, groups: Mapping[int, Sequence[int]]) -> dict[int, str]:
    """Return the clients of which a peer may have more than the subtraction shows, and why."""
    found = {}
    counted = [client for client, weight in evidence.weights.items() if weight > 0]
    for client, group in groups.items():
        share = share_among_others(evidence.weights, client, group)
        if client not in evidence.weights:
            found[client] = _NO_WEIGHT
        elif len(group) > _PAIR and share > _NEARLY_ALL:
            found[client] = f"it is {share:.0%} of the average of others that a peer has"
        elif _shared(method) and not len(group) == len(counted) > _PAIR:
            found[client] = _SHARED
    return found


def share_among_others(weights: Mapping[int, float], client: int, group: Sequence[int]) -> float:
    """Return the largest share that a client has of an average without one peer's own; 0 if it is alone."""
    others = sorted((weights[k] for k in group if k != client), reverse=True)
    return weights[client] / (weights[client] + sum(others[1:])) if others else 0.0


def averaged_together(evidence: Evidence, client: int) -> tuple[int, ...]:
    """Return the clients of the average that has a client's blocks of the round, itself too; or none.

    It is over its cluster, or over all where weights are those of a round without clusters.
    """
    counted = {k: weight for k, weight in evidence.weights.items() if weight > 0}
    if client not in counted:
        return ()
    cluster_of = evidence.method.clusters()
    own = [k for k in counted if cluster_of.get(k) == cluster_of.get(client)]
    in_cluster = math.isclose(sum(counted[k] for k in own), 1, abs_tol=_SUM_TOLERANCE)
    return tuple(sorted(own if in_cluster else counted))


def view_of(evidence: Evidence, method: Method, peer: int, kind: str) -> PeerView:
    """Return what a ``peer`` knows of the blocks that are averaged as its own are.

    Those that all clusters share are another average, which is left aside.
    """
    assert isinstance(method, HuSCF | FedGAN)
    order = method.orders(evidence.transcripts[0].round + 1, [peer]).of(peer)
    blocks = unflatten_blocks(order.tensors.get(kind, {}))
    return PeerView(
        uploaded=evidence.uploads[peer].tensors[kind],
        sent=flatten_blocks({key: state for key, state in blocks.items() if key not in _shared(method)}),
        weight=evidence.weights[peer],
        total_variance=method.settings.buffers == "total-variance",
    )


def _shared(method: Method) -> Collection[BlockKey]:
    """Return the blocks that clients keep, and that are averaged over all clusters."""
    return method.cuts.shared_blocks if isinstance(method, HuSCF) else ()


def _as_closed(evidence: Evidence) -> Method:
    """Return the server's half as it closed the round: a copy, since orders are made with it."""
    made = type(evidence.method)(evidence.config, evidence.method.clients)
    made.load(evidence.method.state().copied())
    return made


def _compared(
    evidence: Evidence, method: Method, group: Sequence[int], client: int, kind: str
) -> Compared | None:
    """Return how near a peer of the ``group`` comes to a client's blocks; None if it has none of them."""
    peer = max((k for k in group if k != client), key=lambda k: evidence.weights[k])
    view = view_of(evidence, method, peer, kind)
    truth = evidence.uploads[client].tensors[kind]
    found, by_guess = view.others(), replace(view, weight=1 / len(group)).others()
    if not found.keys() & truth.keys():
        return None
    numbers = {name: each.numel() for name, each in truth.items() if each.is_floating_point()}
    share = sum(numbers[name] for name in found if name in numbers) / sum(numbers.values())
    return Compared(off_by(found, truth, view.sent), off_by(by_guess, truth, view.sent), share)


def off_by(found: Mapping[str, Tensor], truth: Mapping[str, Tensor], average: Mapping[str, Tensor]) -> float:
    """Return how far what is ``found`` is off the ``truth``, in what the ``average`` is off.

    Over all numbers that both have. An average that is not off at all gives everything away: 0.
    """
    names = sorted(found.keys() & truth.keys())
    true, claimed, mean = (
        torch.cat([each[name].double().flatten() for name in names]) for each in (truth, found, average)
    )
    nothing = torch.dist(mean, true).item()
    return torch.dist(claimed, true).item() / nothing if nothing else 0.0


def _finding(
    groups: Mapping[int, Sequence[int]], compared: Mapping[int, Compared], unsaid: Mapping[int, str]
) -> Finding:
    """Return what was had of the client of which most was had; ``groups`` has who is in its average."""
    found = {client: each for client, each in compared.items() if len(groups[client]) == _PAIR}
    left = {
        client: _left(len(group))
        for client, group in groups.items()
        if len(group) != _PAIR and client not in unsaid
    }
    alone = dict.fromkeys(groups.keys() - left.keys() - found.keys() - unsaid.keys(), _NO_BLOCK)
    details = {
        "distances": {client: each.distance for client, each in compared.items()},
        "by_equal_weights": {client: each.by_guess for client, each in compared.items()},
        "shares": {client: each.share for client, each in compared.items()},
    }
    untried = {**unsaid, **alone}
    reason, value, chance = "", None, None
    if found:
        known = [each.distance for each in found.values() if not math.isnan(each.distance)]
        value, chance = min(known, default=math.nan), 1.0
    else:
        reason = "; ".join(dict.fromkeys([*left.values(), *untried.values()]))
    return Finding(
        *("A8", PEER, BLOCKS, DISTANCE, value, chance, tuple(found), details, reason),
        failed=any(not each.distance <= OTHERS_BLOCKS for each in found.values()),
        withstood={k: f"{why}{_off(compared[k]) if k in compared else ''}" for k, why in left.items()},
        untried=untried,
    )


def _left(clients: int) -> str:
    """Return what a peer is left with in an average of so many clients, which are not two."""
    return f"a peer has the average of {clients - 1} others" if clients > _PAIR else _ALONE


def _off(compared: Compared) -> str:
    return f", which is off by {compared.distance:.2f}"
