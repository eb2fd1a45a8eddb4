"""FedProto as a Flower Strategy."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.strategy import MethodStrategy, require_method
from huscf_flwr.methods import fedproto
from huscf_flwr.run.display import Display


class FedProto(MethodStrategy):
    """Federated training of classifiers of different architectures, which share class means.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(self, config: RunConfig, *, display: Display | None = None) -> None:
        require_method(config, fedproto.FedProto.name)
        super().__init__(config, fedproto.FedProto, display=display)
