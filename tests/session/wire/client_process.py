"""A bare client: a process of its own that trains one client over a stream, and fails as it is told to."""

import multiprocessing

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import run_steps
from huscf_flwr.session.wire import GrpcChannel
from huscf_flwr.soak.faults import FaultyChannel
from huscf_flwr.split import EXCHANGES, HostedClient
from tests.models.specs import small_specs
from tests.session.threads import PATIENCE
from tests.split.builders import build, random_batch

SPEC = small_specs()["three-blocks"]
CUTS = dict.fromkeys([0, 1, 2], legal_cuts(SPEC)[0])
STEPS = 3
FAULTY = 1

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def batch_of(client, step):
    return random_batch(SPEC, 2 + client, 10 * step + client)


def train(address, token, client, fault=None, member=None, wire=None):
    """Train one client over a stream; return what became of it."""
    member = member or build(SPEC, CUTS)[1][client]
    steps = iter(range(STEPS))
    with GrpcChannel(address, token, patience=3 * PATIENCE, exchanges=EXCHANGES, wire=wire) as stream:
        channel = FaultyChannel(stream, fault) if fault else stream
        return run_steps([HostedClient(member, lambda: batch_of(client, next(steps)))], channel, STEPS)
