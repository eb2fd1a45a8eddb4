"""How long one step takes: the equations of the paper for networks of any depth.

The four parts of a cut (generator head, generator tail, discriminator head, discriminator tail) are passed
twice in a step, forward and backward, and each such *stage* depends on that one part only. All clients wait
for each other at the middle blocks, so the step is the sum of its stages.

**Clients join the body** (head forward, tail backward). Client k computes what it keeps and uploads, which
takes c_k(d) at depth d. Server block b waits for block b - 1 of the clients already there, and for those
who leave b as the first of their blocks to the server; it then runs for all n_b clients that leave it::

    R_b = max(R_{b-1}, max {c_k(b-1) : d_k = b-1}) + n_b f_b        stage = max(R_L, max {c_k(L) : d_k = L})

where f_b is the server's time for one client's batch in movable block b = 1..L, and depth d keeps d of them.

**Clients leave the body** (head backward, tail forward). The server runs its blocks one after the other,
and a client whose next block is its own downloads and goes on while the server continues for the rest::

    S_b = S_{b+1} + n_b f_b                                         stage = max_k (S_{d_k + 1} + c_k(d_k))

Unrolled, both are the same expression, which is what this module computes::

    stage = max_k (c_k(d_k) + sum_{b > d_k} n_b f_b)                n_b = number of clients with d_k < b

Where numbers cross packed, both ends compute for it, and c_k(d) has the time of both. The server packs for
its clients side by side, and the cores are shared: with N clients what it does for one takes N times as long
as alone. That is exact where all have as much to send, and an upper bound for who has more than others.

A link's delay is in c_k(d) too, once for each exchange of the stage: one for the generator, and two for the
discriminator, whose third pass has exchanges of its own. So a step, of six exchanges, costs six round
trips.

The equations of the authors' CutLayerSelection.fitness are the case L = 1. As they do, the three passes of
the discriminator are taken together in its forward and backward stages; backward, where the third pass costs
less than the others, that is a lower bound of the passes one after the other. Not modelled: optimiser steps,
clustering and aggregation at the end of a round.

A local discriminator has one choice of depth, whole, and no block on the server: its two stages are the
slowest client's arithmetic, without a wait or a link. It runs between the generator's tail forward and
backward with nobody to wait for, so that the sum of the slowest is an upper bound where another client is
slowest in each; it is exact where one is slowest throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huscf_flwr.cuts.costs import Floats, ModelCosts
from huscf_flwr.cuts.devices import Device, Server
from huscf_flwr.cuts.part_times import PartTimes, Speeds, part_times
from huscf_flwr.models import NETWORKS, Cut, ModelSpec, NetworkName, largest_cut, smallest_cut

Integers = NDArray[np.integer]

_VALUES_AT_ONCE = 4_000_000
_BYTES_PER_WEIGHT = 4
_FORWARD, _BACKWARD = 0, 1


@dataclass(frozen=True)
class LatencyOptions:
    """What the paper leaves out; all off by default."""

    server_link_shared: bool = False
    """Divide the server's link evenly among the clients, up and down, instead of granting it to each."""
    steps_per_round: int | None = None
    """If given, add the transfer of each client's segments, up and down once a round, spread over this
    many steps. It couples the four parts of a cut."""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` if a round has no steps."""
        if self.steps_per_round is not None and self.steps_per_round < 1:
            raise ValueError(f"steps_per_round is {self.steps_per_round}: a round has at least 1 step")

    def described(self) -> tuple[str, ...]:
        """Return one sentence for each option that is on."""
        sentences = []
        if self.server_link_shared:
            sentences.append("server link shared evenly by the clients")
        if self.steps_per_round is not None:
            sentences.append(f"segments up and down every {self.steps_per_round} steps")
        return tuple(sentences)


@dataclass(frozen=True)
class Stage:
    """One stage of the step for one assignment."""

    name: str
    seconds: float
    waits_for: str
    """The device that everybody waits for, or the server."""


class LatencyModel:
    """Step time of whole populations of assignments.

    A *row* is a group of clients with equal profile and equal cut, ``weights`` says how many; by default
    every row is one client.
    """

    def __init__(
        self,
        spec: ModelSpec,
        costs: ModelCosts,
        devices: Sequence[Device],
        server: Server,
        *,
        weights: Integers | None = None,
        options: LatencyOptions | None = None,
        upload_bytes: float = _BYTES_PER_WEIGHT,
        local_discriminator: bool = False,
    ) -> None:
        """Tabulate the times of every row, part and depth.

        A weight of a segment takes ``upload_bytes`` when it goes up after a round.
        """
        self.local_discriminator = local_discriminator
        self.least = smallest_cut(spec, local_discriminator=local_discriminator)
        self.options = options or LatencyOptions()
        self.devices = tuple(devices)
        self.weights = np.ones(len(self.devices), dtype=np.int64) if weights is None else weights
        self.clients = int(self.weights.sum())
        self.speeds = Speeds.of(
            self.devices, server, self.clients, server_link_shared=self.options.server_link_shared
        )
        down, up = self.speeds.download_s_per_byte, self.speeds.upload_s_per_byte
        self._round_trip_s = _BYTES_PER_WEIGHT * down + upload_bytes * up
        largest = largest_cut(spec, local_discriminator=local_discriminator)
        self.parts = tuple(
            part_times(name, costs, self.speeds, range(least, most + 1))
            for name, least, most in zip(Cut._fields, self.least, largest, strict=True)
        )
        self.middle_s = {network: self._middle_seconds(spec, costs, network) for network in NETWORKS}

    @property
    def constant_s(self) -> float:
        """Time of the middle blocks, the same for every assignment."""
        return sum(sum(seconds) for seconds in self.middle_s.values())

    def latency(self, cuts: Integers) -> Floats:
        """Return the seconds [P] of a step for each of the assignments ``cuts`` [P, rows, 4]."""
        chunk = max(1, _VALUES_AT_ONCE // len(self.devices))
        pieces = [self._latency(cuts[start : start + chunk]) for start in range(0, len(cuts), chunk)]
        return np.concatenate(pieces) if pieces else np.zeros(0)

    def stage_seconds(self, part: int, depths: Integers) -> Floats:
        """Return the seconds [2, P] of both stages of one part for ``depths`` [P, rows], from zero."""
        times = self.parts[part]
        waiting = self._server_wait(times, depths)
        client_s = times.client_s()
        seconds = np.zeros((2, len(depths)))
        for depth in range(times.depths):
            here = depths == depth
            for stage in range(2):
                slowest = np.where(here, client_s[stage, :, depth], -np.inf).max(axis=1)
                np.maximum(seconds[stage], slowest + waiting[stage, :, depth], out=seconds[stage])
        return seconds

    def _latency(self, cuts: Integers) -> Floats:
        stages = [
            self.stage_seconds(part, cuts[..., part] - self.least[part]).sum(axis=0) for part in range(4)
        ]
        seconds = np.asarray(sum(stages)) + self.constant_s
        if self.options.steps_per_round is not None:
            seconds += self._round_transfers(cuts).max(axis=1)
        return np.asarray(seconds)

    def _server_wait(self, times: PartTimes, depths: Integers) -> Floats:
        """Return [2, P, depths]: the server's time between a client's edge at a depth and the middle."""
        waiting = np.zeros((2, len(depths), times.depths))
        for block in range(times.depths - 1, 0, -1):
            left = (depths < block) @ self.weights
            waiting[:, :, block - 1] = waiting[:, :, block] + left * times.server_s[:, block - 1, None]
        return waiting

    def stages(self, cuts: Sequence[Cut]) -> tuple[Stage, ...]:
        """Return the stages of one assignment in the order of the step, with whom they wait for."""
        assignment = np.array(cuts, dtype=np.int64)
        stages: list[Stage] = []
        for network, head, tail in zip(NETWORKS, (0, 2), (1, 3), strict=True):
            if network == "discriminator" and self.local_discriminator:
                stages += [self._stage(head, stage, assignment) for stage in (_FORWARD, _BACKWARD)]
                continue
            forward, backward = self.middle_s[network]
            stages += [
                self._stage(head, _FORWARD, assignment),
                Stage(f"{network} middle forward", forward, "server"),
                self._stage(tail, _FORWARD, assignment),
                self._stage(tail, _BACKWARD, assignment),
                Stage(f"{network} middle backward", backward, "server"),
                self._stage(head, _BACKWARD, assignment),
            ]
        if self.options.steps_per_round is not None:
            stages.append(self._slowest("segments of a round", self._round_transfers(assignment[None])[0]))
        return tuple(stages)

    def round_transfer_seconds(self, cut_table: Integers) -> Floats:
        """Return [rows, cuts]: a step's share of a round's transfers for each of the cuts [cuts, 4]."""
        return self._round_transfers(np.repeat(cut_table[:, None], len(self.devices), axis=1)).T

    def client_seconds(self, cuts: Sequence[Cut]) -> tuple[Floats, Floats]:
        """Return each row's arithmetic [rows] and transfers [rows] of one step, waiting left out.

        Packing is part of the transfers, at both ends, as it is where a host times its exchanges.
        """
        depths = np.array(cuts, dtype=np.int64) - np.array(self.least)
        rows = np.arange(len(self.devices))
        compute = sum(part.compute_s[:, rows, depths[:, i]].sum(axis=0) for i, part in enumerate(self.parts))
        link = sum(
            part.link_s[:, rows, depths[:, i]].sum(axis=0) + 2 * part.packing_s[rows, depths[:, i]]
            for i, part in enumerate(self.parts)
        )
        return np.asarray(compute), np.asarray(link)

    def _stage(self, part: int, direction: int, assignment: Integers) -> Stage:
        times = self.parts[part]
        depths = assignment[:, part] - self.least[part]
        waiting = self._server_wait(times, depths[None])[direction, 0]
        seconds = times.client_s()[direction, np.arange(len(depths)), depths] + waiting[depths]
        whole = self.local_discriminator and times.name == "discriminator_head"
        name = "whole discriminator" if whole else times.name.replace("_", " ")
        return self._slowest(f"{name} {('forward', 'backward')[direction]}", seconds)

    def _slowest(self, name: str, seconds: Floats) -> Stage:
        row = int(seconds.argmax())
        return Stage(name, float(seconds[row]), self.devices[row].name)

    def _round_transfers(self, cuts: Integers) -> Floats:
        """Return [P, rows]: a step's share of the transfer of each client's segments once a round."""
        assert self.options.steps_per_round is not None
        return self._segment_weights(cuts) * self._round_trip_s / self.options.steps_per_round

    def _segment_weights(self, cuts: Integers) -> Floats:
        """Return [...]: how many weights a client with each of ``cuts`` [..., 4] keeps."""
        weights = np.zeros(cuts.shape[:-1])
        for index, part in enumerate(self.parts):
            weights += part.segment_weights[cuts[..., index] - self.least[index]]
        return weights

    def _middle_seconds(
        self, spec: ModelSpec, costs: ModelCosts, network: NetworkName
    ) -> tuple[float, float]:
        if network == "discriminator" and self.local_discriminator:
            return 0.0, 0.0
        index = spec.network(network).middle_index
        of_network = costs.network(network)
        forward = of_network.server_forward_gflop[index]
        backward = of_network.server_backward_gflop[index]
        scale = self.clients / self.speeds.server_gflops
        return float(forward) * scale, float(backward) * scale
