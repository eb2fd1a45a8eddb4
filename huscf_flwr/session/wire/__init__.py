"""The data plane over gRPC: one bidirectional stream per host.

``codec`` turns frames into messages and back, ``server`` brings streams to the lock-step session, and
``channel`` is the host's end; both find each other, with TLS or without, by ``endpoint``. Only this package
imports grpc.
"""

from huscf_flwr.session.wire.channel import GrpcChannel, arrive
from huscf_flwr.session.wire.claim import StreamClaim
from huscf_flwr.session.wire.endpoint import Endpoint, EndpointError
from huscf_flwr.session.wire.rendezvous import Rendezvous
from huscf_flwr.session.wire.server import ExecutorServer

__all__ = [
    "Endpoint",
    "EndpointError",
    "ExecutorServer",
    "GrpcChannel",
    "Rendezvous",
    "StreamClaim",
    "arrive",
]
