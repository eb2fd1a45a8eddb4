"""Cut solvers: one interface (``CutSolver``), several ways."""

from huscf_flwr.cuts.solvers.exact import ExactSolver
from huscf_flwr.cuts.solvers.fixed import FixedCuts
from huscf_flwr.cuts.solvers.greedy import GreedySearch

__all__ = ["ExactSolver", "FixedCuts", "GreedySearch"]
