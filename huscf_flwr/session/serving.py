"""The executor at work: its step as a coroutine, exchange by exchange."""

from __future__ import annotations

import time

from huscf_flwr.session.attendance import SessionError
from huscf_flwr.session.exchange import Executor, ExecutorStep, Frames


class Serving:
    """Runs the steps of an executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._step: ExecutorStep | None = None
        self.stopped: BaseException | None = None
        """Why the session ends after the step that is going on, if it was stopped."""
        self.served_s = 0.0
        """Seconds that the executor computed."""

    def end_step(self) -> None:
        """Let the executor do what it does after its last answer; raises ``SessionError`` if it goes on."""
        assert self._step is not None
        for _ in self._step:
            raise SessionError("the executor's step has more exchanges than it declares")

    def begin_step(self, number: int) -> None:
        """Begin step ``number``; raises the reason if the session was stopped."""
        if self.stopped is not None:
            raise self.stopped
        self._step = self._executor.step(number)
        next(self._step)

    def serve(self, frames: Frames) -> Frames:
        """Return what the executor answers to ``frames`` in the exchange that is due."""
        assert self._step is not None
        try:
            return self._step.send(frames)
        except StopIteration:
            raise SessionError("the executor's step has fewer exchanges than it declares") from None

    def add_seconds(self, started: float) -> None:
        """Count the time since ``started`` as the executor's."""
        self.served_s += time.perf_counter() - started
