"""The problem that a cut solver is given, and the solution that it gives back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from huscf_flwr.cuts.costs import DiscriminatorWork, FlopRule, ModelCosts, step_costs
from huscf_flwr.cuts.devices import Device, Server
from huscf_flwr.cuts.latency import Integers, LatencyModel, LatencyOptions
from huscf_flwr.cuts.limits import Booleans, CutDemands, cut_demands
from huscf_flwr.models import Cut, ModelSpec, largest_cut, smallest_cut
from huscf_flwr.session import SentBytes


@dataclass(frozen=True)
class Solution:
    """One cut for every client, in the order of the clients."""

    cuts: tuple[Cut, ...]
    latency_s: float
    """Predicted seconds of one step."""
    solver: str
    gap: float | None
    """Proven bound on (latency - optimum) / latency; None if the solver proves nothing."""
    seconds: float
    """Time that the solver took."""


class CutSolver(Protocol):
    """What chooses the cuts. To add one, write this method."""

    @property
    def name(self) -> str:
        """Name in messages and files."""
        ...

    def solve(self, problem: CutProblem, *, seed: int) -> Solution:
        """Return a solution whose cuts the problem allows."""
        ...


@dataclass(frozen=True)
class CutProblem:
    """Clients, server, networks and the rules by which a step is timed."""

    spec: ModelSpec
    devices: tuple[Device, ...]
    """One profile for each client."""
    server: Server
    batch_size: int
    flops: FlopRule = "exact"
    options: LatencyOptions = field(default_factory=LatencyOptions)
    timed: ModelCosts | None = field(default=None, compare=False)
    """Costs to take instead of those that ``flops`` counts; see ``timed_costs``."""
    sent: SentBytes = field(default_factory=SentBytes)
    """What numbers take that cross."""
    local_discriminator: bool = False
    """Every client keeps the whole discriminator: only the generator's cut is to be chosen."""
    work: DiscriminatorWork = field(default_factory=DiscriminatorWork)
    """What a step computes of the discriminator."""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` without clients."""
        if not self.devices:
            raise ValueError("there are no clients to cut for; at least 1 is needed")

    @cached_property
    def costs(self) -> ModelCosts:
        """What one client's batch costs in one step."""
        if self.timed is not None:
            return self.timed
        return step_costs(self.spec, self.batch_size, self.flops, sent=self.sent, work=self.work)

    @cached_property
    def demands(self) -> CutDemands:
        """The legal cuts and what each asks of a client."""
        return cut_demands(self.spec, self.costs, local_discriminator=self.local_discriminator)

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """All legal cuts, the lightest first."""
        return self.demands.cuts

    @cached_property
    def cut_table(self) -> Integers:
        """The legal cuts [cuts, 4]."""
        return np.array(self.cuts, dtype=np.int64)

    @cached_property
    def least(self) -> Integers:
        """[4]: the lightest cut."""
        return np.array(smallest_cut(self.spec, local_discriminator=self.local_discriminator))

    @cached_property
    def most(self) -> Integers:
        """[4]: the heaviest cut."""
        return np.array(largest_cut(self.spec, local_discriminator=self.local_discriminator))

    @cached_property
    def depth_table(self) -> Integers:
        """The legal cuts [cuts, 4] as depths, which count from zero."""
        return np.asarray(self.cut_table - self.least)

    @cached_property
    def classes(self) -> tuple[Device, ...]:
        """The different profiles, in order of their first client."""
        return tuple(dict.fromkeys(self.devices))

    @cached_property
    def class_of_client(self) -> Integers:
        """[clients]: index of each client's class."""
        index = {device: position for position, device in enumerate(self.classes)}
        return np.array([index[device] for device in self.devices])

    @cached_property
    def class_sizes(self) -> Integers:
        """[classes]: number of clients in each class."""
        return np.bincount(self.class_of_client, minlength=len(self.classes))

    @cached_property
    def allowed(self) -> Booleans:
        """[classes, cuts]: which cuts the limits of each class leave."""
        return np.stack([self.demands.allowed(device) for device in self.classes])

    def check(self) -> None:
        """Raise ``NoLegalCutError`` if the limits of a device leave it no cut."""
        _ = self.allowed

    @cached_property
    def model(self) -> LatencyModel:
        """Latency of assignments with one row for each client."""
        return self._latency_model(self.devices, None)

    @cached_property
    def class_model(self) -> LatencyModel:
        """Latency of assignments that give all clients of a class the same cut; one row for each class."""
        return self.grouped_model(np.arange(len(self.classes)), self.class_sizes)

    def grouped_model(self, classes: Integers, sizes: Integers) -> LatencyModel:
        """Latency of assignments with one row for each group of ``sizes`` clients of one of ``classes``."""
        devices = [self.classes[index] for index in classes]
        return self._latency_model(devices, sizes)

    def _latency_model(self, devices: Sequence[Device], weights: Integers | None) -> LatencyModel:
        return LatencyModel(
            self.spec,
            self.costs,
            devices,
            self.server,
            weights=weights,
            options=self.options,
            upload_bytes=self.sent.upload,
            local_discriminator=self.local_discriminator,
        )

    @cached_property
    def allowed_depths(self) -> tuple[Booleans, ...]:
        """For each part [classes, depths]: which depths occur in a cut that is allowed."""
        return tuple(
            np.stack(
                [self.allowed[:, self.depth_table[:, part] == depth].any(axis=1) for depth in range(depths)],
                axis=1,
            )
            for part, depths in enumerate((self.most - self.least + 1).tolist())
        )

    @cached_property
    def parts_are_independent(self) -> bool:
        """Whether each part of a cut can be chosen without regard to the other three."""
        if self.options.steps_per_round is not None:
            return False
        combined = np.ones_like(self.allowed)
        for part, depths in enumerate(self.allowed_depths):
            combined &= depths[:, self.depth_table[:, part]]
        return bool((combined == self.allowed).all())

    def latency(self, cuts: Sequence[Cut]) -> float:
        """Return the seconds of one step if the clients have ``cuts``."""
        return float(self.model.latency(np.array(cuts, dtype=np.int64)[None])[0])

    def solution(
        self, cuts: Sequence[Cut], *, solver: str, started: float, gap: float | None = None
    ) -> Solution:
        """Return the solution of a ``solver`` that ``started`` at that reading of ``time.perf_counter``."""
        latency_s = self.latency(cuts)
        return Solution(tuple(cuts), latency_s, solver, gap, time.perf_counter() - started)

    def cuts_by_class(self, cut_indices: Integers) -> tuple[Cut, ...]:
        """Return each client's cut, given the index [classes] of the cut of each class."""
        return tuple(self.cuts[index] for index in cut_indices[self.class_of_client])
