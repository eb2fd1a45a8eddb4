"""Before the first round: who is there, and how their clients introduce themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flwr.app import RecordDict
from pydantic import NonNegativeInt

from huscf_flwr.flower.messages.records import FactsType, Reading, facts_record
from huscf_flwr.methods.contract import Description, Facts, Method

JOIN = "query.join"
DESCRIBE = "query.describe"

PROTOCOL = 2
"""What a device and a server must have in common.

Raise it when anything crosses, or is packed, in another way, and the other end would not notice.
"""


class Invitation(Facts):
    """Server to SuperNode: say who you are, and where there is a rendezvous, come to it."""

    protocol: int | None = None
    """The server's ``PROTOCOL``."""
    address: str | None = None
    token: str | None = None

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        return RecordDict({"invitation": facts_record(self)})

    def check(self) -> None:
        """Raise ``ValueError`` if one end would misunderstand what the other sends."""
        if self.protocol != PROTOCOL:
            theirs = "of an older version" if self.protocol is None else f"with protocol {self.protocol}"
            raise ValueError(
                f"the server runs huscf-flwr {theirs}, this device with protocol {PROTOCOL}: install the "
                "same version on both"
            )

    @classmethod
    def from_records(cls, records: RecordDict) -> Invitation:
        """Read the message's content."""
        return _only(records, "invitation", cls)


class Arrival(Facts):
    """SuperNode to server: whether it can take part, and which client it owns, if any."""

    admitted: bool
    client: NonNegativeInt | None = None

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        return RecordDict({"arrival": facts_record(self)})

    @classmethod
    def from_records(cls, records: RecordDict) -> Arrival:
        """Read the message's content."""
        return _only(records, "arrival", cls)


class DescribeRequest(Facts):
    """Server to SuperNode: describe these clients."""

    clients: tuple[NonNegativeInt, ...]

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        return RecordDict({"request": facts_record(self)})

    @classmethod
    def from_records(cls, records: RecordDict) -> DescribeRequest:
        """Read the message's content."""
        return _only(records, "request", cls)


@dataclass(frozen=True)
class DescribeReply:
    """SuperNode to server: how its clients introduce themselves."""

    clients: Mapping[int, Description]

    def to_records(self, method: type[Method]) -> RecordDict:
        """Return the message's content; raises ``CrossingError`` if the method does not list all of it."""
        method.crossing.check_descriptions(self.clients)
        return RecordDict(
            {f"description/{client}": facts_record(each) for client, each in self.clients.items()}
        )

    @classmethod
    def from_records(cls, records: RecordDict, method: type[Method]) -> DescribeReply:
        """Read the message's content; raises ``CrossingError`` if the method does not list all of it."""
        reading = Reading(records)
        found = reading.facts_of_clients("description", method.crossing.description)
        reading.end()
        return cls(found)


def _only(records: RecordDict, name: str, listed: type[FactsType]) -> FactsType:
    reading = Reading(records)
    found = reading.facts(name, listed)
    reading.end()
    return found
