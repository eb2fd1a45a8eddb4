"""HuSCF-GAN as a Flower Strategy. Its parts are objects: give another to change the method."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutSolver
from huscf_flwr.federation import Clusterer, Divergence, Weighting
from huscf_flwr.flower.strategy import MethodStrategy
from huscf_flwr.methods import huscf
from huscf_flwr.run.display import Display


class HuSCF(MethodStrategy):
    """Split, clustered, federated training of a conditional GAN.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    clusterer, divergence, weighting : optional
        Take the place of the configured ones after each round.
    cut_solver : CutSolver, optional
        Takes the place of the configured one.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    method_name: ClassVar = "huscf"

    def __init__(
        self,
        config: RunConfig,
        *,
        clusterer: Clusterer | None = None,
        divergence: Divergence | None = None,
        weighting: Weighting | None = None,
        cut_solver: CutSolver | None = None,
        display: Display | None = None,
    ) -> None:
        make_method = partial(
            huscf.HuSCF.variant(config),
            clusterer=clusterer,
            divergence=divergence,
            weighting=weighting,
            cut_solver=cut_solver,
        )
        super().__init__(config, make_method, display=display)
