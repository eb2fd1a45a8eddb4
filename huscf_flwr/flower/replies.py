"""What SuperNodes answer, read as what it should be; each speaks for its own clients only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from flwr.app import Message, RecordDict

from huscf_flwr.flower.log_display import LOGGER

Reply = TypeVar("Reply")


def answers(replies: Iterable[Message]) -> dict[int, RecordDict]:
    """Return the content of the replies by node id; errors are logged with their reason and left out."""
    contents = {}
    for reply in replies:
        node = reply.metadata.src_node_id
        if reply.has_error():
            # The SuperLink answers in its own name for a SuperNode that is gone.
            sender = "A SuperNode" if node == reply.metadata.dst_node_id else f"SuperNode {node}"
            LOGGER.error("%s failed: %s", sender, reply.error.reason)
        else:
            contents[node] = reply.content
    return contents


def read_reply(read: Callable[[RecordDict], Reply], records: RecordDict) -> Reply:
    """Return what ``read`` makes of a reply; raises ``ValueError`` if it cannot be read."""
    try:
        return read(records)
    except Exception as error:
        # Bytes that are no array end in an EOFError, a BadZipFile, a TokenError and more.
        raise ValueError(f"a reply that cannot be read ({type(error).__name__}: {error})") from error


def check_clients(told: Collection[int], own: Collection[int]) -> None:
    """Raise ``ValueError`` if a reply is not for all of a SuperNode's ``own`` clients and no others."""
    if set(told) != set(own):
        raise ValueError(f"a reply for clients {sorted(told)}, not {sorted(own)}")
