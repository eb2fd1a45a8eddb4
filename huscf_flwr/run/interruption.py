"""Ctrl-C and SIGTERM as a wish: the run ends its step, or is stopped in Flower, and says what is kept."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from huscf_flwr.conf_files import read_yaml
from huscf_flwr.data.progress import Listener, progress_told
from huscf_flwr.run.checkpoint import last_round

_Handler = Callable[[int, FrameType | None], None]
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTED = b"\nstopping; once more to stop without waiting\n"


class InterruptedRunError(RuntimeError):
    """Somebody stopped the run; its last checkpoint is whole."""

    def __init__(self, cause: signal.Signals, number: int | None, folder: Path | None) -> None:
        """``number`` is the round that was going on, ``folder`` the run's, if it had got so far.

        One that is to go on from another has not got so far before it has written a configuration of its own:
        the other's does not have what was asked of this one, such as more rounds.
        """
        last = last_round(folder) if folder is not None else None
        # A round that was finished meanwhile was not stopped in.
        where = "" if number is None or (last is not None and number <= last) else f" in round {number}"
        if folder is None:
            kept = "nothing has been done yet; the same command begins again"
        elif last is None:
            kept = "no round is finished yet, so there is nothing to resume"
        else:
            kept = f"round {last} is the last that is kept in {folder}"
        super().__init__(f"stopped by {cause.name}{where}; {kept}")
        self.resumable = None if last is None else folder
        """The run's folder if ``resume`` may name it."""
        self.exit_code = 128 + cause
        """As shells report a process that a signal ended."""


def command_to_resume(folder: Path, command: Sequence[str], options: Sequence[str] = ()) -> str:
    """Return the command line, to be pasted into a shell, with which the run in ``folder`` goes on.

    ``command`` are the words before the configuration, such as ``huscf run``, ``options`` those at the end.
    """
    config = folder / "config.yaml"
    # A run that was itself resumed from an older round would start there again.
    latest = ["--set", "resume_round=null"] if read_yaml(config).get("resume_round") is not None else []
    return shlex.join([*command, str(config), "--set", f"resume={folder}", *latest, *options])


class InsistedError(KeyboardInterrupt):
    """Somebody asked a second time, and does not wait for a step to end."""

    def __init__(self, cause: signal.Signals) -> None:
        super().__init__(f"stopped by {cause.name} at once")
        self.cause = cause
        self.exit_code = 128 + cause
        """As shells report a process that a signal ended."""


class StopRequest:
    """Whether a run has been asked to stop, and by what; a third signal and later ones do nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Say on the terminal that a request was noted, unless ``quiet``."""
        self.cause: signal.Signals | None = None
        self._quiet = quiet
        self._insist = _once()

    def take(self, number: int, frame: FrameType | None = None) -> None:
        """Note the first signal; raise ``InsistedError``, a ``KeyboardInterrupt``, at the second."""
        if self.cause is not None:
            self._insist(number, frame)
            return
        self.cause = signal.Signals(number)
        if not self._quiet:
            # Not print: the signal may have come in the middle of one.
            os.write(2, _NOTED)


@contextmanager
def ending_when_asked(stop: StopRequest, listener: Listener, folder: Path | None) -> Iterator[None]:
    """Raise ``InterruptedRunError`` within the block once a stop is asked for, at what is counted next.

    Judging takes minutes, and can be done again: whoever stops a process gives it less before they kill it.
    ``listener`` is told of progress; ``folder`` is the run's, once it has begun to write there.
    """

    def told(what: str, done: int, total: int | None) -> None:
        if stop.cause is not None:
            raise InterruptedRunError(stop.cause, None, folder)
        listener(what, done, total)

    with progress_told(told):
        yield


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Raise ``InsistedError`` within the block at the first Ctrl-C or SIGTERM: nothing of it is to be kept.

    What is thrown away is so before the process ends: later signals do nothing. Only in the main thread, as
    Python has it.
    """
    with _handled(_once()):
        yield


def _once() -> _Handler:
    """Return a handler that raises ``InsistedError`` at the first signal and ignores all others.

    An exception in ``Thread.join`` makes CPython 3.11 take a thread for ended that is not. The interpreter is
    then torn down while it computes in PyTorch, and C++ ends the process: *terminate called without an active
    exception*. Whoever is stopping waits for threads, so one exception is all; ``timeout`` sends two signals.
    """
    raised = False

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal calls it
        nonlocal raised
        if not raised:
            raised = True
            raise InsistedError(signal.Signals(number))

    return stop


@contextmanager
def stop_requests(*, quiet: bool = False) -> Iterator[StopRequest]:
    """Take note of Ctrl-C and SIGTERM; only in the main thread, as Python has it."""
    request = StopRequest(quiet=quiet)
    with _handled(request.take):
        yield request


@contextmanager
def _handled(handler: _Handler) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
