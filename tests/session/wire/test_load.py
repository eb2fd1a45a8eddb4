"""Sixty-four streams with twelve megabytes each in one exchange: no deadlock, and memory has a bound."""

import resource

import pytest
import torch

from huscf_flwr.models import legal_cuts, load_model_spec
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel
from huscf_flwr.split import EXCHANGES, GENERATE, SplitExecutor
from tests.session.threads import errors_of
from tests.split.builders import exchanged, open_session

STREAMS = 64
SPEC = load_model_spec("authors-28")
CUT = legal_cuts(SPEC)[0]
BATCH = 240
MEGABYTE = 2**20


def echo(number):
    """An executor that has nothing to compute: one tensor for everybody."""
    tail = torch.zeros(BATCH, *SPEC.generator_shapes[4])
    frames = yield {}
    yield dict.fromkeys(frames, (tail,))


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.slow
def test_many_streams_with_large_frames(monkeypatch):
    head = torch.randn(BATCH, *SPEC.generator_shapes[1])
    size = head.numel() * head.element_size() / MEGABYTE
    assert size > 11
    executor = SplitExecutor(SPEC, dict.fromkeys(range(STREAMS), CUT), seed=0)
    monkeypatch.setattr(executor, "step", echo)
    server = ExecutorServer("127.0.0.1:0")
    before = peak_megabytes()

    def run(token, client):
        with GrpcChannel(server.address, token, exchanges=EXCHANGES) as channel:
            ((tensor,),) = exchanged(channel, GENERATE, {client: (head,)}).values()
            assert tensor.shape == (BATCH, *SPEC.generator_shapes[4])

    session = open_session(executor, [[client] for client in range(STREAMS)], patience=300.0)
    tokens = server.open_session(session)
    calls = [lambda token=token, k=k: run(token, k) for k, token in enumerate(tokens)]
    assert errors_of(*calls, patience=300.0) == [None] * STREAMS
    server.stop()
    # Everything is here once as it was received, up and down, and no more than as much again on its way.
    crossed = session._ledger.total() / MEGABYTE
    assert crossed > STREAMS * size
    assert peak_megabytes() - before < 2.5 * crossed
