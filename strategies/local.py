"""Training alone as a Flower Strategy."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.strategy import MethodStrategy, require_method
from huscf_flwr.methods import local
from huscf_flwr.run.display import Display


class Local(MethodStrategy):
    """Every client trains a conditional GAN or a classifier alone, as ``local.task`` says.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(self, config: RunConfig, *, display: Display | None = None) -> None:
        require_method(config, local.Local.name)
        super().__init__(config, display=display)
