"""What can be found wrong with a run before anything starts."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population
from huscf_flwr.process import device_of
from huscf_flwr.split.wire import Endpoint
from huscf_flwr.training.checkpoint import checkpoint_of
from huscf_flwr.training.cut_choice import choose_cuts, deal_devices
from huscf_flwr.training.method import check_clusters, method_of, model_spec_of, population_of
from huscf_flwr.training.tensorboard import check_tensorboard


def check_run(config: RunConfig, hosts: int = 1) -> Population:
    """Build all that a run is made of, once; return the population, which takes longest to load.

    Raises ``ValueError`` naming the setting, the value found and what to do.
    """
    if hosts > config.clients:
        raise ValueError(
            f"clients: {config.clients} clients for {hosts} SuperNodes; take more clients or fewer SuperNodes"
        )
    device_of(config.compute)
    executor = config.executor
    Endpoint(executor.bind, executor.advertise, executor.certificate, executor.key, executor.insecure).check()
    spec = model_spec_of(config)
    check_clusters(config, config.clients)
    method_of(config)
    choose_cuts(config, spec, deal_devices(config))
    check_tensorboard(config)
    checkpoint = checkpoint_of(config)
    if checkpoint is not None:
        checkpoint.check_same_run(config, spec)
    return population_of(config, spec)
