"""UA-GAN as a Flower Strategy."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.strategy import MethodStrategy, require_method
from huscf_flwr.methods import uagan
from huscf_flwr.run.display import Display


class UAGAN(MethodStrategy):
    """One generator on the server, which learns from all clients' discriminators as from one.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(self, config: RunConfig, *, display: Display | None = None) -> None:
        require_method(config, uagan.UAGAN.name)
        super().__init__(config, uagan.UAGAN, display=display)
