"""What a step costs wherever a method places its networks: one rule for all methods.

A step is a sequence of *turns*. In a turn the server computes, sends to all clients, each computes and
answers, and the server waits for the slowest of them::

    turn = S / s_S + max_k (down / R_down,k + C / s_k + up / R_up,k + P (p_k + N p_S) + delays of k)

with S and C the operations of server and client, and s and R speeds and links as the latency model has them,
P numbers that cross packed, which takes p_k at the client, and N times p_S at a server that packs for N
clients side by side; and one delay of the link for each way on which anything is sent. What is exchanged or
computed once a round is spread over the round's steps. Splits with a cut of their own for each client are
priced by ``LatencyModel``, whose stages overlap. Both give a ``Price``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huscf_flwr.cuts.costs import ModelCosts, block_costs
from huscf_flwr.cuts.part_times import Speeds
from huscf_flwr.cuts.problem import CutProblem
from huscf_flwr.models import NETWORKS, Cut, NetworkName

_BYTES_PER_NUMBER = 4
_FLOP_IN_A_GFLOP = 1e9


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One way there and back, in which all clients do the same."""

    server_gflop: float = 0.0
    """What the server computes, for all clients together."""
    down_bytes: float = 0.0
    """What each client is sent."""
    client_gflop: float = 0.0
    """What each client computes."""
    up_bytes: float = 0.0
    """What each client sends."""
    packed_numbers: float = 0.0
    """Of both, each counted as the part of ``packing_ns`` that both ends compute for it: ``packed``."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Who computes what, and what crosses."""

    step: tuple[Turn, ...]
    once_a_round: Turn = Turn()


@dataclass(frozen=True)
class Price:
    """What one step costs, with its share of what happens once a round."""

    step_s: float
    """Predicted seconds; all wait for the slowest client."""
    client_gflop: float
    """Arithmetic of a client, the mean over clients."""
    server_gflop: float
    """Arithmetic of the server."""


def priced(placement: Placement, problem: CutProblem) -> Price:
    """Return what a step of ``placement`` costs the clients of ``problem``.

    Without ``steps_per_round`` among its options, what happens once a round is left out.
    """
    speeds = Speeds.of(
        problem.devices,
        problem.server,
        len(problem.devices),
        server_link_shared=problem.options.server_link_shared,
    )
    steps = problem.options.steps_per_round
    share = 0.0 if steps is None else 1 / steps
    once = placement.once_a_round
    return Price(
        sum(_seconds(turn, speeds) for turn in placement.step) + share * _seconds(once, speeds),
        sum(turn.client_gflop for turn in placement.step) + share * once.client_gflop,
        sum(turn.server_gflop for turn in placement.step) + share * once.server_gflop,
    )


def priced_cuts(cuts: Sequence[Cut], problem: CutProblem) -> Price:
    """Return what a step costs with a cut for each client; the server runs what they do not keep."""
    shares = [_gflop(problem.costs, cut) for cut in cuts]
    clients, server = np.array(shares).T
    return Price(problem.latency(cuts), float(clients.mean()), float(server.sum()))


def network_gflop(problem: CutProblem, network: NetworkName) -> float:
    """Return a step's arithmetic of one whole network: all of its passes, forward and backward."""
    return problem.costs.network(network).total_gflop()


def pass_gflop(problem: CutProblem, network: NetworkName, *, frozen: bool = False) -> float:
    """Return the arithmetic of one pass of a whole network, forward and back; see ``way_back_gflop``."""
    blocks = block_costs(problem.spec, network, problem.batch_size, problem.flops)
    forward = sum(block.forward_flop for block in blocks) / _FLOP_IN_A_GFLOP
    return forward + way_back_gflop(problem, network, frozen=frozen)


def way_back_gflop(problem: CutProblem, network: NetworkName, *, frozen: bool = True) -> float:
    """Return the arithmetic of one pass of a whole network back to its input.

    If its weights are ``frozen``, their gradients are not computed.
    """
    blocks = block_costs(problem.spec, network, problem.batch_size, problem.flops)
    flop = (block.frozen_backward_flop if frozen else block.backward_flop for block in blocks)
    return sum(flop) / _FLOP_IN_A_GFLOP


def network_bytes(problem: CutProblem, *networks: NetworkName, up: bool = False) -> float:
    """Return the bytes of all weights of ``networks``; of both, if none is named.

    Going ``up`` they take what ``wire.uploads`` makes of them.
    """
    named = networks or NETWORKS
    parameters = sum(float(problem.costs.network(name).parameters.sum()) for name in named)
    return (problem.sent.upload if up else _BYTES_PER_NUMBER) * parameters


def networks_sent(problem: CutProblem, *networks: NetworkName, every: float = 1) -> Turn:
    """Return what it takes to send ``networks`` down, and up again, once in ``every`` rounds.

    What came down in an earlier round is not what an upload may differ from: it goes up as it is.
    """
    down, up = (network_bytes(problem, *networks, up=up and every == 1) / every for up in (False, True))
    return Turn(down_bytes=down, up_bytes=up)


def images_bytes(problem: CutProblem, *, gradients: bool = False) -> float:
    """Return the bytes of one batch of images as they cross, or of the ``gradients`` at them."""
    return crossing_bytes(problem, math.prod(problem.spec.image.shape), gradients=gradients)


def crossing_bytes(problem: CutProblem, numbers: int, *, gradients: bool = False) -> float:
    """Return the bytes of a batch of so many ``numbers`` a sample, activations or ``gradients``.

    Where numbers are packed, a batch that does not fill a group is not: see ``WireType.form``.
    """
    sent, count = problem.sent, problem.batch_size * numbers
    if count < (sent.gradient_group if gradients else sent.activation_group):
        return count * sent.unpacked
    return count * (sent.gradient if gradients else sent.activation)


def image_numbers(problem: CutProblem) -> int:
    """Return the numbers of one batch of images."""
    return problem.batch_size * math.prod(problem.spec.image.shape)


def packed(problem: CutProblem, numbers: float) -> float:
    """Return ``numbers`` that cross in a session as a turn counts them, by what both ends compute."""
    return problem.sent.packing * numbers


def whole_networks(problem: CutProblem, *, sent: bool) -> Placement:
    """Return the placement of clients that train both networks whole.

    If they are ``sent`` once a round, all weights go down and up.
    """
    both = sum(network_gflop(problem, network) for network in NETWORKS)
    once = networks_sent(problem) if sent else Turn()
    return Placement(step=(Turn(client_gflop=both),), once_a_round=once)


def _seconds(turn: Turn, speeds: Speeds) -> float:
    of_clients = (
        turn.client_gflop / speeds.gflops
        + turn.down_bytes * speeds.download_s_per_byte
        + turn.up_bytes * speeds.upload_s_per_byte
        + turn.packed_numbers * speeds.packing_s
        + speeds.delay_s * ((turn.down_bytes > 0) + (turn.up_bytes > 0))
    )
    return turn.server_gflop / speeds.server_gflops + float(of_clients.max())


def _gflop(costs: ModelCosts, cut: Cut) -> tuple[float, float]:
    """Return the arithmetic of a client with ``cut`` in a step, and of the server for it."""
    client = server = 0.0
    for network in NETWORKS:
        each = costs.network(network)
        kept = each.kept(cut.head(network), cut.tail(network))
        client += (each.client_forward_gflop + each.client_backward_gflop)[kept].sum()
        server += (each.server_forward_gflop + each.server_backward_gflop)[~kept].sum()
    return client, server
