"""What the server is told of an owner's files that cannot be used: of what kind the fault is, and no more.

The whole sentence, with places and names of files, is for the owner's own log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from huscf_flwr.data import DataError
from huscf_flwr.data.formats.choice import Place
from huscf_flwr.data.formats.found import OtherClassesError
from huscf_flwr.data.formats.huggingface_parts import HubSet
from huscf_flwr.data.idx import idx_files
from huscf_flwr.extras import MissingExtraError
from huscf_flwr.flower.log_display import LOGGER
from huscf_flwr.run.mistakes import told
from huscf_flwr.session import SessionError


class OwnFilesError(SessionError):
    """An owner's files cannot be used; the text may reach the server."""


@contextmanager
def own_images_told(client: int, place: Place) -> Iterator[None]:
    """Log whatever goes wrong with the images in ``place``, and raise its kind as ``OwnFilesError``."""
    try:
        yield
    except Exception as error:
        LOGGER.error("client %s: %s", client, told(error))
        raise OwnFilesError(
            f"client {client}: its images cannot be used, since {_kind(error, place)}; the log of its "
            "SuperNode says more"
        ) from error


@contextmanager
def own_files_told(client: int | None) -> Iterator[None]:
    """Do the same for other files on the device of an owner; ``client`` is None where there is none."""
    try:
        yield
    except OSError as error:
        if client is None or error.filename is None:
            raise
        LOGGER.error("client %s: %s", client, error)
        raise OwnFilesError(
            f"client {client}: a file on its device cannot be read or written ({error.strerror}); the log of "
            "its SuperNode says which"
        ) from error


_KINDS: Mapping[type[Exception], str] = {
    OtherClassesError: "their labels or the names of their classes do not fit the classes of the run",
    MissingExtraError: "their format needs an extra of huscf-flwr that its device does not have",
    OSError: "they cannot be read from its disk",
    MemoryError: "they do not fit into its memory",
}
"""The first that fits an error is told."""


def _kind(error: Exception, place: Place) -> str:
    for kind, told_of_it in _KINDS.items():
        if isinstance(error, kind):
            return told_of_it
    if not isinstance(error, DataError):
        return "reading them failed"
    if isinstance(place, HubSet):
        return "they cannot be loaded, or are in no known form"
    if place.exists() or idx_files(place) is not None:
        return "they are damaged or in no known form"
    return "nothing is where they should be"
