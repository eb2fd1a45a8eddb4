"""Central training as a Flower Strategy."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.strategy import MethodStrategy, require_method
from huscf_flwr.methods import central
from huscf_flwr.run.display import Display


class Central(MethodStrategy):
    """One whole conditional GAN a domain, on the images of all of its clients: in a simulation only.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(self, config: RunConfig, *, display: Display | None = None) -> None:
        require_method(config, central.Central.name)
        super().__init__(config, central.Central, display=display)
