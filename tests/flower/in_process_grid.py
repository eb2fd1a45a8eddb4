"""Flower's Grid with all SuperNodes in this process: real handlers, real serialisation, no SuperLink.

Every message is a thread, and every record crosses as the protobuf message that Flower makes of it.
"""

import ast
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import count
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import Context, Error, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

import client_apps

PEM = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

RUN_ID = 77
SERVER = 1

parse, parsing = ast.parse, threading.RLock()


def parse_alone(*arguments, **options):
    """Parse as ``ast.parse`` does, in one thread at a time.

    NumPy parses the header of every array that arrives, and in Python 3.11 two threads that parse at once may
    fail with "AST constructor recursion depth mismatch". Real handlers have processes of their own.
    """
    with parsing:
        return parse(*arguments, **options)


class InProcessGrid(Grid):
    """SuperNodes by id with their node config; ``at_once`` of them run side by side."""

    def __init__(
        self,
        nodes: Mapping[int, Mapping[str, object]],
        run_config: Mapping[str, object],
        *,
        at_once: int | None = None,
        app: Callable[[Message, Context], Message] = client_apps.app,
    ) -> None:
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 0, RUN_ID, SERVER
        ast.parse = parse_alone
        self._app = app
        self._ids = count()
        self._pool = ThreadPoolExecutor(at_once or len(nodes))
        self._replies = {}
        self._lock = threading.Lock()
        self.sent, self.received = [], []
        self.keys = {node: key_of(node) for node in nodes}
        self.contexts = {
            node: Context(RUN_ID, node, dict(config), RecordDict(), dict(run_config))
            for node, config in nodes.items()
        }

    def set_run(self, run):
        raise NotImplementedError

    @property
    def run(self):
        return SimpleNamespace(run_id=RUN_ID)

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        return Message(
            content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl
        )

    def get_node_ids(self):
        return list(self.contexts)

    def get_nodes(self):
        return [
            NodeInfo(node_id=node, public_key=self.keys[node].public_bytes(*PEM)) for node in self.contexts
        ]

    def push_messages(self, messages):
        identifiers = []
        for message in messages:
            identifier = f"message-{next(self._ids)}"
            message.metadata.__dict__["_message_id"] = identifier
            self.sent.append(message)
            self._replies[identifier] = self._pool.submit(self._handle, message)
            identifiers.append(identifier)
        return identifiers

    def pull_messages(self, message_ids):
        finished = [self._replies.pop(each) for each in message_ids if self._replies[each].done()]
        replies = [future.result() for future in finished]
        self.received += replies
        return replies

    def send_and_receive(self, messages, *, timeout=None):
        identifiers = self.push_messages(messages)
        wait([self._replies[each] for each in identifiers], timeout)
        return self.pull_messages(identifiers)

    def close(self):
        """Wait for all handlers, those that nobody waits for too."""
        self._pool.shutdown()
        ast.parse = parse

    def _handle(self, message):
        delivered = Message(crossed(message.content), metadata=message.metadata)
        try:
            reply = self._app(delivered, self.contexts[message.metadata.dst_node_id])
        except Exception as error:
            return Message(Error(0, f"{type(error).__name__}: {error}"), reply_to=message)
        return Message(crossed(reply.content), reply_to=message)


@cache
def key_of(node):
    """The public key that this node has in every grid, as if it had started anew."""
    return ec.derive_private_key(node, ec.SECP384R1()).public_key()


def crossed(records):
    """The records as they arrive at the other end."""
    return recorddict_from_proto(recorddict_to_proto(records))
