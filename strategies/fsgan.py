"""Federated Split GANs as a Flower Strategy."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.strategy import MethodStrategy, require_method
from huscf_flwr.methods import fsgan
from huscf_flwr.run.display import Display


class FSGAN(MethodStrategy):
    """One generator on the server, and a discriminator on every client; discriminators are averaged.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(self, config: RunConfig, *, display: Display | None = None) -> None:
        require_method(config, fsgan.FSGAN.name)
        super().__init__(config, fsgan.FSGAN, display=display)
