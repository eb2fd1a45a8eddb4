"""PFL-GAN-style training as a Flower Strategy."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.strategy import MethodStrategy, require_method
from huscf_flwr.methods import pflgan
from huscf_flwr.run.display import Display


class PFLGAN(MethodStrategy):
    """A personal conditional GAN for each client, on images drawn from generators of clients like it.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(self, config: RunConfig, *, display: Display | None = None) -> None:
        require_method(config, pflgan.PFLGAN.name)
        super().__init__(config, pflgan.PFLGAN, display=display)
