"""A disk on which nothing more can be written."""

import resource
import signal
from contextlib import contextmanager


@contextmanager
def full_disk():
    """Let every file of this process stay empty.

    The system refuses what is written as on a full disk: with a number, and without the name of the file.
    """
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
