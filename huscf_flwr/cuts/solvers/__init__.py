"""Cut solvers: one interface (``CutSolver``), several ways."""

from collections.abc import Callable, Mapping

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.cuts.problem import CutSolver
from huscf_flwr.cuts.solvers.exact import ExactSolver
from huscf_flwr.cuts.solvers.fixed import FixedCuts
from huscf_flwr.cuts.solvers.genetic import GeneticSearch
from huscf_flwr.cuts.solvers.greedy import GreedySearch

__all__ = ["SOLVERS", "ExactSolver", "FixedCuts", "GeneticSearch", "GreedySearch", "solver_named"]

SOLVERS: Mapping[str, Callable[[], CutSolver]] = {
    "exact": ExactSolver,
    "genetic": GeneticSearch,
    "greedy": GreedySearch,
    "fixed": FixedCuts,
}


def solver_named(name: str) -> CutSolver:
    """Return the solver called ``name`` with its default settings.

    Raises ``ValueError`` with the known names if there is none.
    """
    if name not in SOLVERS:
        known = ", ".join(SOLVERS)
        raise ValueError(f"solver '{name}' is unknown{did_you_mean(name, SOLVERS)}; choose one of {known}")
    return SOLVERS[name]()
