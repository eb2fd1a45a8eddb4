"""Before the first round: who is there, who can run at the same time, and who hosts which client."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from huscf_flwr.config import RunConfig
from huscf_flwr.flower.client_keys import bind, keys_file, keys_of_nodes, read_client_keys
from huscf_flwr.flower.log_display import LOGGER
from huscf_flwr.flower.messages import (
    DESCRIBE,
    JOIN,
    PROTOCOL,
    Arrival,
    DescribeReply,
    DescribeRequest,
    Invitation,
)
from huscf_flwr.flower.replies import answers, check_clients, read_reply
from huscf_flwr.methods.contract import Description, Method
from huscf_flwr.models import AUTO
from huscf_flwr.run.check import client_count
from huscf_flwr.run.placement import spread
from huscf_flwr.session.wire import ExecutorServer, Rendezvous

NODES_SECONDS = 120.0
"""How long SuperNodes are waited for that are needed."""
_REPLY_SECONDS = 600.0


class AssemblyError(RuntimeError):
    """The run cannot start with the SuperNodes that are there."""


@dataclass(frozen=True)
class Assembly:
    """The SuperNodes that take part, with their clients."""

    clients: Mapping[int, tuple[int, ...]]
    """Client ids by node id, in the order of the hosts of every session."""
    owners: frozenset[int]
    """Nodes that own their client's data; the others host virtual clients."""
    keys: Mapping[int, str]
    """Fingerprint of the key to which a client id is bound, by client; empty without TLS."""
    descriptions: Mapping[int, Description] = field(default_factory=dict)
    """How the clients introduce themselves, by client id; empty until they have been asked."""

    @property
    def virtual_clients(self) -> frozenset[int]:
        """Clients that are hosted, not owned."""
        return frozenset(
            client for node, ids in self.clients.items() if node not in self.owners for client in ids
        )

    def available(self, lost: Collection[int]) -> tuple[int, ...]:
        """Return the ids of all clients that can take part without the ``lost`` nodes."""
        return tuple(sorted(client for clients in self.placement(lost).values() for client in clients))

    def placement(
        self, lost: Collection[int], chosen: Collection[int] | None = None
    ) -> dict[int, tuple[int, ...]]:
        """Return the client ids of a round by node id, in the order of its hosts, without the ``lost`` nodes.

        The virtual clients are dealt to the hosts that are left; the client of a lost owner stays away. Only
        clients that are ``chosen`` take part, if any choice was made, and only nodes with such a client.
        """
        hosts = [node for node in self.clients if node not in self.owners]
        left = [node for node in hosts if node not in lost] or hosts
        virtual = sorted(client for client in self.virtual_clients if chosen is None or client in chosen)
        dealt = dict(zip(left, spread(virtual, min(len(left), len(virtual))), strict=False))
        return {
            node: dealt.get(node, clients)
            for node, clients in self.clients.items()
            if node in dealt or self._takes_part(node, lost, chosen)
        }

    def _takes_part(self, owner: int, lost: Collection[int], chosen: Collection[int] | None) -> bool:
        is_chosen = chosen is None or set(self.clients[owner]) <= set(chosen)
        return owner in self.owners and owner not in lost and is_chosen


def assemble(config: RunConfig, method: type[Method], grid: Grid, server: ExecutorServer | None) -> Assembly:
    """Wait for SuperNodes, find out who can take part, and deal the virtual clients.

    With a ``server``, they come to a rendezvous, and those take part that can run at the same time; without
    one all do, and Flower queues what they have no workers for.

    Where SuperNodes are authenticated, client ids are bound to their keys. Without TLS there are no lasting
    keys: Flower makes up new ones whenever a SuperNode starts.
    Raises ``AssemblyError`` if too few take part, or two own the same client, and ``ClientKeyError`` if one
    owns a client of another's.
    """
    nodes = _wait_for_nodes(grid, config.min_hosts)
    node_keys: dict[int, str] = {}
    if config.executor.certificate is not None:
        node_keys = keys_of_nodes(grid)
        nodes = [node for node in nodes if node in node_keys]
    arrivals = _arrivals(config, grid, server, nodes)
    owned = _owned(arrivals, node_keys)
    keys = _bind(config, owned, node_keys)
    if owned and method.pools_domains:
        raise AssemblyError(
            f"method: {config.method} trains on the pooled images of all clients, which only a simulation "
            f"has, but SuperNodes own the clients {', '.join(map(str, sorted(owned)))}; run it without them"
        )
    if owned and config.data.judged_on == "validation":
        raise AssemblyError(
            "data.judged_on: validation, for which images of all of a domain's clients are set aside, but "
            f"SuperNodes own the clients {', '.join(map(str, sorted(owned)))}; take test, and let their "
            "owners put the images to judge on in place of their test images"
        )
    if owned and config.evaluation.inception is not None:
        raise AssemblyError(
            f"evaluation.inception: {config.evaluation.inception} is on the server, but SuperNodes own the "
            f"clients {', '.join(map(str, sorted(owned)))} and judge there; leave it out"
        )
    if owned and config.model.spec == AUTO:
        raise AssemblyError(
            "model.spec: auto follows the images of a simulation, but SuperNodes own the clients "
            f"{', '.join(map(str, sorted(owned)))}; name the networks, and set model.classes and "
            "model.channels if theirs differ"
        )
    admitted = {node: arrival for node, arrival in arrivals.items() if arrival.admitted}
    clients = _place(range(client_count(config, method)), admitted, owned)
    _check_enough(clients, config.min_hosts)
    owners = frozenset(node for node in clients if arrivals[node].client is not None)
    return Assembly(clients, owners, keys)


def with_descriptions(assembly: Assembly, method: type[Method], grid: Grid, min_hosts: int) -> Assembly:
    """Have all clients introduce themselves; an owner that does not describe its own client is left out.

    Raises ``AssemblyError`` if one that hosts virtual clients does not describe them, or if fewer than
    ``min_hosts`` SuperNodes are left.
    """
    requests = {node: DescribeRequest(clients=ids).to_records() for node, ids in assembly.clients.items()}
    found = answers(grid.send_and_receive(addressed(requests, DESCRIBE), timeout=_REPLY_SECONDS))
    read: dict[int, Mapping[int, Description]] = {}
    for node, ids in assembly.clients.items():
        try:
            read[node] = _description(method, found.get(node), ids)
        except ValueError as error:
            said = f"SuperNode {node} described its clients with {error}"
            if node not in assembly.owners:
                raise AssemblyError(f"{said}; fix it, or run without it") from error
            LOGGER.warning("%s: it is left out", said, extra={"client": ids[0]})
    clients = {node: ids for node, ids in assembly.clients.items() if node in read}
    _check_enough(clients, min_hosts)
    together = {client: each for descriptions in read.values() for client, each in descriptions.items()}
    return replace(assembly, clients=clients, descriptions=dict(sorted(together.items())))


def _check_enough(clients: Collection[int], min_hosts: int) -> None:
    if len(clients) < max(min_hosts, 1):
        raise AssemblyError(f"min_hosts: {min_hosts}, but {len(clients)} SuperNodes can take part")


def addressed(
    contents: Mapping[int, RecordDict], message_type: str, group: str = "", seconds: float | None = None
) -> Iterable[Message]:
    """Return one message for each node id; it lives for ``seconds``, or as long as Flower lets it."""
    return [
        Message(content=records, dst_node_id=node, message_type=message_type, group_id=group, ttl=seconds)
        for node, records in contents.items()
    ]


def _wait_for_nodes(grid: Grid, needed: int) -> list[int]:
    deadline = time.monotonic() + NODES_SECONDS
    while len(nodes := sorted(grid.get_node_ids())) < needed:
        if time.monotonic() > deadline:
            raise AssemblyError(
                f"min_hosts: {needed}, but only {len(nodes)} SuperNodes are connected after "
                f"{NODES_SECONDS:g} s; start more or lower min_hosts"
            )
        time.sleep(1.0)
    return nodes


def _arrivals(
    config: RunConfig, grid: Grid, server: ExecutorServer | None, nodes: Sequence[int]
) -> dict[int, Arrival]:
    address = token = None
    if server is not None:
        rendezvous = Rendezvous(len(nodes), config.executor.window)
        address, token = server.address, server.open_rendezvous(rendezvous)
    invitation = Invitation(protocol=PROTOCOL, address=address, token=token)
    messages = addressed(dict.fromkeys(nodes, invitation.to_records()), JOIN)
    found = answers(grid.send_and_receive(messages, timeout=_REPLY_SECONDS))
    arrivals = {}
    for node in nodes:
        if node not in found:
            continue
        try:
            arrivals[node] = read_reply(Arrival.from_records, found[node])
        except ValueError as error:
            LOGGER.error("SuperNode %s sent %s", node, error)
    _report(nodes, arrivals)
    return arrivals


def _report(nodes: Sequence[int], arrivals: Mapping[int, Arrival]) -> None:
    for node in nodes:
        arrival = arrivals.get(node)
        if arrival is None:
            LOGGER.warning("SuperNode %s did not join", node)
        elif not arrival.admitted and arrival.client is not None:
            LOGGER.warning(
                "SuperNode %s, which owns client %s, came too late",
                *(node, arrival.client),
                extra={"client": arrival.client},
            )
    hosts = [arrival.admitted for arrival in arrivals.values() if arrival.client is None]
    if hosts and not all(hosts):
        LOGGER.warning(
            "%s of %s SuperNodes can run at the same time: all virtual clients go to them. To use more, run "
            "with --federation-config 'num-supernodes=%s client-resources-num-cpus=1 init-args-num-cpus=%s'",
            *(sum(hosts), len(hosts), len(hosts), len(hosts)),
        )


def _owned(arrivals: Mapping[int, Arrival], keys: Mapping[int, str]) -> dict[int, int]:
    owned: dict[int, int] = {}
    for node, arrival in arrivals.items():
        if arrival.client is None:
            continue
        if arrival.client in owned:
            first, second = (
                f"{each} (key {keys[each]})" if each in keys else str(each)
                for each in (owned[arrival.client], node)
            )
            raise AssemblyError(
                f"SuperNodes {first} and {second} both say that they own client {arrival.client}; "
                f"give each its own client-id"
            )
        owned[arrival.client] = node
    return owned


def _bind(config: RunConfig, owned: Mapping[int, int], keys: Mapping[int, str]) -> dict[int, str]:
    if not keys:
        return {}
    known = read_client_keys(config.resume) if config.resume else {}
    return bind(known, owned, keys, keys_file(config.resume or config.folder))


def _place(
    ids: Sequence[int], admitted: Mapping[int, Arrival], owned: Mapping[int, int]
) -> dict[int, tuple[int, ...]]:
    """Give each owner its client, and the hosts all of ``ids`` without owner, not even one that came late."""
    clients: dict[int, tuple[int, ...]] = {
        node: (client,) for client, node in sorted(owned.items()) if node in admitted
    }
    hosts = [node for node, arrival in admitted.items() if arrival.client is None]
    if hosts:
        virtual = [client for client in ids if client not in owned]
        used = hosts[: len(virtual)]
        clients.update(zip(used, spread(virtual, len(used)), strict=True))
        for node in hosts[len(virtual) :]:
            LOGGER.warning("SuperNode %s has no client: only %s are to be hosted", node, len(virtual))
    if not clients:
        raise AssemblyError("no SuperNode joined; see their logs")
    return clients


def _description(
    method: type[Method], records: RecordDict | None, clients: Collection[int]
) -> Mapping[int, Description]:
    """Return how a SuperNode describes its ``clients``; raises ``ValueError`` if it does not."""
    if records is None:
        raise ValueError("an error, which is logged above")
    found = read_reply(lambda each: DescribeReply.from_records(each, method), records).clients
    check_clients(found, clients)
    return found
