"""The streams of a lock-step method: where the executor listens, and who may come to it in a round."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from huscf_flwr.config import RunConfig, WirePreset
from huscf_flwr.flower.messages import Stream, claim_of
from huscf_flwr.run.rounds import OpenRound
from huscf_flwr.session import LockStep
from huscf_flwr.session.wire import ExecutorServer

_PATIENT = 2
"""How many deadlines of the first step a host waits for an answer: other hosts may need all of one."""


def listen(config: RunConfig) -> ExecutorServer:
    """Return the executor's server, which listens where ``config`` says.

    Raises ``EndpointError`` if it must not, and ``PortTakenError`` if the port cannot be had.
    """
    section = config.executor
    return ExecutorServer(
        section.bind,
        advertise=section.advertise,
        certificate=section.certificate,
        key=section.key,
        insecure=section.insecure,
    )


def open_streams(
    server: ExecutorServer,
    opened: OpenRound,
    nodes: Sequence[int],
    *,
    run_id: int,
    lifetime: float,
    share_memory: Collection[int],
    preset: WirePreset,
) -> list[Stream]:
    """Serve a round; return what each of its hosts needs to come to it, in their order.

    ``nodes`` are the node ids of the hosts, those in ``share_memory`` are offered shared memory, and a token
    that nobody has used within ``lifetime`` seconds is worth nothing. Numbers cross by ``preset``.
    """
    assert isinstance(opened.session, LockStep)
    tokens = server.open_session(
        opened.session,
        [claim_of(opened.assignment(host), run_id, node) for host, node in enumerate(nodes)],
        lifetime=lifetime,
        share_memory={host for host, node in enumerate(nodes) if node in share_memory},
    )
    return [
        Stream(address=server.address, token=token, answer_seconds=_PATIENT * lifetime, preset=preset)
        for token in tokens
    ]
