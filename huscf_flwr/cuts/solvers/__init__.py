"""Cut solvers: one interface (``CutSolver``), several ways."""

from huscf_flwr.cuts.solvers.fixed import FixedCuts
from huscf_flwr.cuts.solvers.greedy import GreedySearch

__all__ = ["FixedCuts", "GreedySearch"]
