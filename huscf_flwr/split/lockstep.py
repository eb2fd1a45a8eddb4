"""Lock-step: hosts bring the frames of their clients, and nobody goes on before all have come.

A *host* is whoever runs some of the clients: a SuperNode, or a thread of this process. The last host to
arrive at an exchange runs the executor's part of it, and every host leaves with what is for its clients.
All channels end here: what they differ in is only how frames reach this class.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from huscf_flwr.split.exchange import Direction, Exchange, Frame, Frames, check_frame
from huscf_flwr.split.executor import ExecutorStep, Observer, SplitExecutor
from huscf_flwr.split.ledger import Ledger
from huscf_flwr.split.wire_type import WireType

Progress = Callable[[int], None]
"""Called after each finished step with its number, from one."""


class SessionError(RuntimeError):
    """The lock-step cannot go on: a host failed, was too late, or broke the protocol."""


class Channel(Protocol):
    """A host's way to the executor."""

    def exchange(self, exchange: Exchange, frames: Frames) -> Frames:
        """Send the frames of this host's clients up; return what comes down for them."""
        ...


class LockStep:
    """One round's session between the executor and the hosts."""

    def __init__(
        self,
        executor: SplitExecutor,
        hosts: Sequence[Sequence[int]],
        *,
        ledger: Ledger,
        steps: int,
        timeout: float,
        observe: Callable[[int], Observer | None] = lambda _: None,
        progress: Progress = lambda _: None,
        wire: WireType | None = None,
    ) -> None:
        """Open a session of ``steps`` steps.

        ``hosts`` lists the client ids of each host; ``timeout`` (seconds) is how long a host waits for the
        others in one exchange; ``observe`` gives the observer of a step, by its number from one;
        ``wire`` is how numbers cross on every channel.
        """
        self._executor = executor
        self.hosts = tuple(tuple(clients) for clients in hosts)
        self._ledger = ledger
        self._steps = steps
        self._timeout = timeout
        self._observe = observe
        self._progress = progress
        self.wire = wire or WireType()
        self._up: dict[int, Frame] = {}
        self._down: Frames = {}
        self._expected = Exchange.GENERATE
        self._finished_steps = 0
        self._running: ExecutorStep | None = None
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._barrier = threading.Barrier(len(self.hosts), action=self._serve)
        self.waited = [0.0] * len(self.hosts)
        """Seconds that the frames of each host were here: until all others had come and were served."""
        self.served_s = 0.0
        """Seconds that the executor computed."""

    @property
    def finished_steps(self) -> int:
        """Number of steps that all hosts have finished."""
        return self._finished_steps

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self._finished_steps == self._steps

    @property
    def failure(self) -> BaseException | None:
        """What ended the session early, if anything did."""
        return self._failure

    def exchange(self, host: int, exchange: Exchange, frames: Frames) -> Frames:
        """Take part in one exchange; return the frames for the clients of ``host``.

        Raises ``FrameError`` for a frame that does not fit, and ``SessionError`` when another host failed,
        did not come in time, or the executor could not go on.
        """
        came = time.perf_counter()
        try:
            self._accept(host, exchange, frames)
        except BaseException as error:
            self.abort(error)
            raise
        try:
            self._barrier.wait(self._timeout)
        except threading.BrokenBarrierError:
            raise self._broken(exchange) from self._failure
        self.waited[host] += time.perf_counter() - came
        return {client: self._down[client] for client in self.hosts[host]}

    def abort(self, reason: BaseException) -> None:
        """End the session for all hosts because of ``reason``; the first reason given stays."""
        self._fail(reason)
        self._barrier.abort()

    def _fail(self, reason: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or reason

    def _accept(self, host: int, exchange: Exchange, frames: Frames) -> None:
        if exchange is not self._expected:
            raise SessionError(f"host {host} sent {exchange.name}, but {self._expected.name} is due")
        if set(frames) != set(self.hosts[host]):
            raise SessionError(f"host {host} sent clients {sorted(frames)}, not {sorted(self.hosts[host])}")
        for client, frame in frames.items():
            cut = self._executor.cuts[client]
            check_frame(frame, exchange, "up", client=client, spec=self._executor.spec, cut=cut)
        with self._lock:
            self._up.update(frames)
            self._record(exchange, "up", frames)

    def _serve(self) -> None:
        exchange = self._expected
        started = time.perf_counter()
        try:
            self._down = self._advance(exchange)
        except BaseException as error:
            # The barrier breaks by itself when its action raises, and holds its lock until then.
            self._fail(error)
            raise
        self.served_s += time.perf_counter() - started
        self._record(exchange, "down", self._down)
        self._up = {}
        self._expected = _next(exchange)

    def _advance(self, exchange: Exchange) -> Mapping[int, Frame]:
        if exchange is Exchange.GENERATE:
            if self._finished_steps >= self._steps:
                raise SessionError(f"the session has {self._steps} steps, and all are done")
            self._running = self._executor.step(self._observe(self._finished_steps + 1))
            next(self._running)
        assert self._running is not None
        down = self._running.send(self._up)
        if exchange is Exchange.GENERATOR_BACKWARD:
            self._finished_steps += 1
            self._progress(self._finished_steps)
        return down

    def _record(self, exchange: Exchange, direction: Direction, frames: Frames) -> None:
        for client, frame in frames.items():
            self._ledger.record_frame(client, exchange, direction, frame, self.wire)

    def _broken(self, exchange: Exchange) -> SessionError:
        place = f"step {self._finished_steps + 1}, {exchange.name}"
        late = f"{place}: not all of {len(self.hosts)} hosts came within {self._timeout:g} s"
        self._fail(SessionError(late))  # unless there is a reason already
        reason = str(self._failure)
        return SessionError(reason if reason.startswith(place) else f"{place}: {reason}")


class LocalChannel:
    """The channel of a host in the executor's own process.

    Nothing is copied; where the session has a wire type, numbers are rounded as if they had crossed in it.
    """

    def __init__(self, session: LockStep, host: int = 0) -> None:
        self._session = session
        self._host = host

    def exchange(self, exchange: Exchange, frames: Frames) -> Frames:
        """Send the frames of this host's clients up; return what comes down for them."""
        sent = {client: self._session.wire.crossed(frame) for client, frame in frames.items()}
        received = self._session.exchange(self._host, exchange, sent)
        return {client: self._session.wire.crossed(frame) for client, frame in received.items()}


def _next(exchange: Exchange) -> Exchange:
    return Exchange(exchange.value % len(Exchange) + 1)
