"""HFL-GAN-style training as a Flower Strategy."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.strategy import MethodStrategy, require_method
from huscf_flwr.methods import hflgan
from huscf_flwr.run.display import Display


class HFLGAN(MethodStrategy):
    """A discriminator and two generators on each client, averaged within clusters and over all clients.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(self, config: RunConfig, *, display: Display | None = None) -> None:
        require_method(config, hflgan.HFLGAN.name)
        super().__init__(config, hflgan.HFLGAN, display=display)
