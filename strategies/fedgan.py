"""FedGAN as a Flower Strategy."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.strategy import MethodStrategy, require_method
from huscf_flwr.methods import fedgan
from huscf_flwr.run.display import Display


class FedGAN(MethodStrategy):
    """Federated training of a conditional GAN that every client keeps whole.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(self, config: RunConfig, *, display: Display | None = None) -> None:
        require_method(config, fedgan.FedGAN.name)
        super().__init__(config, fedgan.FedGAN, display=display)
