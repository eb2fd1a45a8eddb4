"""How much of each network every client keeps, chosen from its device's speed and link."""

from huscf_flwr.cuts.beliefs import Beliefs
from huscf_flwr.cuts.costs import FLOP_RULES, DiscriminatorWork, FlopRule
from huscf_flwr.cuts.devices import Device, DeviceFile, Server, deal, deal_devices, load_devices
from huscf_flwr.cuts.latency import LatencyModel, LatencyOptions
from huscf_flwr.cuts.limits import NoLegalCutError
from huscf_flwr.cuts.placement import Placement, Price, Turn, priced, priced_cuts, whole_networks
from huscf_flwr.cuts.preset_choice import PresetChoice, choose_preset
from huscf_flwr.cuts.problem import CutProblem, CutSolver, Solution
from huscf_flwr.cuts.reselection import Reselection, reselect
from huscf_flwr.cuts.solvers import (
    SOLVERS,
    ExactSolver,
    FixedCuts,
    GeneticSearch,
    GreedySearch,
    solver_named,
)

__all__ = [
    "FLOP_RULES",
    "SOLVERS",
    "Beliefs",
    "CutProblem",
    "CutSolver",
    "Device",
    "DeviceFile",
    "DiscriminatorWork",
    "ExactSolver",
    "FixedCuts",
    "FlopRule",
    "GeneticSearch",
    "GreedySearch",
    "LatencyModel",
    "LatencyOptions",
    "NoLegalCutError",
    "Placement",
    "PresetChoice",
    "Price",
    "Reselection",
    "Server",
    "Solution",
    "Turn",
    "choose_preset",
    "deal",
    "deal_devices",
    "load_devices",
    "priced",
    "priced_cuts",
    "reselect",
    "solver_named",
    "whole_networks",
]
