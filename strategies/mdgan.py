"""MD-GAN as a Flower Strategy."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.strategy import MethodStrategy, require_method
from huscf_flwr.methods import mdgan
from huscf_flwr.run.display import Display


class MDGAN(MethodStrategy):
    """One generator on the server, and a discriminator on every client; discriminators are swapped.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(self, config: RunConfig, *, display: Display | None = None) -> None:
        require_method(config, mdgan.MDGAN.name)
        super().__init__(config, mdgan.MDGAN, display=display)
