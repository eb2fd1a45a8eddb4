"""Cuts as the configuration wants them chosen."""

from __future__ import annotations

from collections.abc import Mapping

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import (
    CutSolver,
    Device,
    FixedCuts,
    Solution,
    deal,
    load_devices,
    select_cuts,
    solver_named,
)
from huscf_flwr.models import Cut, ModelSpec


def deal_devices(config: RunConfig) -> dict[int, Device]:
    """Deal the device profiles to the virtual clients."""
    profiles = load_devices(config.cuts.devices).devices
    return dict(enumerate(deal(profiles, config.clients, seed=config.seed)))


def choose_cuts(
    config: RunConfig, spec: ModelSpec, devices: Mapping[int, Device], solver: CutSolver | None = None
) -> Solution:
    """Choose a cut for every client in ``devices``, in the order of client ids.

    Raises ``ValueError`` if a fixed cut is outside the network, or a device's limits leave it no cut.
    """
    assert config.cuts.flops is not None
    return select_cuts(
        spec,
        [devices[client] for client in sorted(devices)],
        load_devices(config.cuts.devices).server,
        batch_size=config.batch_size,
        solver=solver or _solver(config),
        flops=config.cuts.flops,
        seed=config.seed,
    )


def _solver(config: RunConfig) -> CutSolver:
    section = config.cuts
    if section.solver == "fixed":
        if section.fixed is None:
            raise ValueError("cuts.solver: fixed needs cuts.fixed, such as 1,1,1,1")
        return FixedCuts(cut=Cut(*section.fixed))
    return solver_named(section.solver)
