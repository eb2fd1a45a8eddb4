"""Cuts as the configuration wants them chosen, before a run and in the middle of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import (
    Beliefs,
    CutProblem,
    CutSolver,
    Device,
    FixedCuts,
    LatencyOptions,
    Price,
    Reselection,
    Server,
    Solution,
    load_devices,
    priced_cuts,
    reselect,
    solver_named,
)
from huscf_flwr.methods.contract import round_size
from huscf_flwr.methods.huscf.private_work import discriminator_work
from huscf_flwr.models import Cut, ModelSpec
from huscf_flwr.session import StepTimes, sent_bytes


def choose_cuts(
    config: RunConfig, spec: ModelSpec, devices: Mapping[int, Device], solver: CutSolver | None = None
) -> Solution:
    """Choose a cut for every client in ``devices``, in the order of client ids.

    Raises ``ValueError`` as ``check_cuts``.
    """
    problem = cut_problem(config, spec, declared(config, devices))
    return (solver or _solver(config)).solve(problem, seed=config.seed)


def price_of_cuts(config: RunConfig, problem: CutProblem) -> Price:
    """Return what a step costs with the cuts that a run of these devices begins with.

    ``problem`` has the devices of a round's clients, and the server as it is for that many. Cuts are chosen
    by the configured rule, whatever rule it is priced by.
    """
    placed = replace(
        problem,
        local_discriminator=config.privacy.local_discriminator,
        work=discriminator_work(config, problem.spec),
    )
    chosen = replace(placed, flops=config.cuts.flops, options=LatencyOptions(), sent=sent_bytes(config))
    return priced_cuts(_solver(config).solve(chosen, seed=config.seed).cuts, placed)


def check_cuts(config: RunConfig, spec: ModelSpec, devices: Mapping[int, Device]) -> None:
    """Check that ``choose_cuts`` can choose, which may take long, without choosing.

    Raises ``ValueError`` if a fixed cut is outside the network, or a device's limits leave it no cut.
    """
    problem = cut_problem(config, spec, declared(config, devices))
    solver = _solver(config)
    if isinstance(solver, FixedCuts):
        solver.check(problem)
    else:
        problem.check()


def declared(config: RunConfig, devices: Mapping[int, Device]) -> Beliefs:
    """Return what is believed before anything was measured: the profiles as they are."""
    return Beliefs(devices, load_devices(config.cuts.devices).server)


def cut_problem(config: RunConfig, spec: ModelSpec, beliefs: Beliefs) -> CutProblem:
    """Return the problem of choosing cuts, in the order of client ids, for devices as they are believed.

    A step is timed for the clients of a round: where only some of all are in it, the server runs its blocks
    for that many fewer clients, which is the same as to run them for all on a server that is faster by as
    much. Nobody knows who will be there: a step waits for the slowest of all clients, and the server is
    thought to have the same share of every class of devices.
    """
    devices = tuple(device for _, device in sorted(beliefs.devices.items()))
    share, server = share_in_a_round(config, len(devices)), beliefs.server
    fewer = {"gflops": server.gflops / share}
    if server.packing_ns is not None:  # if it is estimated, it follows the other
        fewer["packing_ns"] = server.packing_ns * share
    return CutProblem(
        spec,
        devices,
        server.model_copy(update=fewer),
        config.batch_size,
        config.cuts.flops,
        sent=sent_bytes(config),
        local_discriminator=config.privacy.local_discriminator,
        work=discriminator_work(config, spec),
    )


def share_in_a_round(config: RunConfig, clients: int) -> float:
    """Return the share of ``clients``, above 0 up to 1, that is in a round if all can be reached."""
    size = round_size(clients, fraction=config.fraction_train, least=config.min_train_clients)
    return size / clients


class CutReselection:
    """Learns after every round how fast clients are, and says which cuts would now be better."""

    def __init__(
        self,
        config: RunConfig,
        spec: ModelSpec,
        devices: Mapping[int, Device],
        solver: CutSolver | None = None,
    ) -> None:
        self._config = config
        self._spec = spec
        self._solver = solver or _solver(config)
        self.beliefs = declared(config, devices)

    def learn(self, cuts: Mapping[int, Cut], times: Mapping[int, StepTimes], server_s: float) -> None:
        """Take in the times of a step that clients and executor had on average in a round with ``cuts``."""
        problem = cut_problem(self._config, self._spec, self.beliefs)
        weight = self._config.cuts.newest_weight
        self.beliefs = self.beliefs.learned(problem, cuts, times, server_s, weight=weight)

    def better(self, cuts: Mapping[int, Cut], steps_left: int, seed: int) -> Reselection | None:
        """Return cuts, in the order of client ids, that pay in the steps left of the run, or None."""
        return reselect(
            cut_problem(self._config, self._spec, self.beliefs),
            [cut for _, cut in sorted(cuts.items())],
            self._solver,
            steps_left=steps_left,
            least_gain=self._config.cuts.least_gain,
            seed=seed,
        )

    def solution_of(self, cuts: Mapping[int, Cut]) -> Solution:
        """Return what the solver once chose, with the latency that is now believed."""
        problem = cut_problem(self._config, self._spec, self.beliefs)
        in_order = [cut for _, cut in sorted(cuts.items())]
        return problem.solution(in_order, solver=self._solver.name, started=time.perf_counter())

    def state(self) -> dict[str, Any]:
        """Return what is believed, as JSON, for a checkpoint."""
        beliefs = self.beliefs
        return {
            "rounds": beliefs.rounds,
            "unmeasured": sorted(beliefs.unmeasured),
            "server": beliefs.server.model_dump(),
            "devices": {str(client): device.model_dump() for client, device in beliefs.devices.items()},
        }

    def load_state(self, state: Any) -> None:
        """Believe what ``state`` returned."""
        devices = {int(client): Device.model_validate(entry) for client, entry in state["devices"].items()}
        server = Server.model_validate(state["server"])
        self.beliefs = Beliefs(devices, server, state["rounds"], frozenset(state["unmeasured"]))


def _solver(config: RunConfig) -> CutSolver:
    section = config.cuts
    if section.solver == "fixed":
        if section.fixed is None:
            raise ValueError("cuts.solver: fixed needs cuts.fixed, such as 1,1,1,1")
        return FixedCuts(cut=Cut(*section.fixed))
    if section.fixed is not None:
        raise ValueError(
            f"cuts.fixed is {','.join(map(str, section.fixed))}, but cuts.solver is {section.solver}, which "
            "chooses cuts itself; set cuts.solver=fixed, or leave cuts.fixed out"
        )
    return solver_named(section.solver)
