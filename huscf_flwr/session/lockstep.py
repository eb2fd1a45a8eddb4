"""Lock-step: hosts bring the frames of their clients, and no host goes on before all have come.

A *host* is whoever runs some of the clients: a SuperNode, or a thread of this process. One of those that
arrived runs the executor's part of an exchange when the last has come, and every host leaves with what is
for its clients. All channels end here: what they differ in is only how frames reach this class.

A client that fails *drops out* of the session: in the step in which it fails, what it sent so far stays, and
the executor goes on without the rest; from the next step on it is absent. The session itself fails only if
its executor does, or if too few clients are left.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from huscf_flwr.session.attendance import Attendance, DroppedClient, OnDropOut, SessionError
from huscf_flwr.session.deadlines import Clock, Patience, StepClock
from huscf_flwr.session.exchange import (
    Direction,
    DropOut,
    Exchange,
    Executor,
    FrameError,
    Frames,
    Parcel,
    Parcels,
    TensorHeader,
)
from huscf_flwr.session.frame_rules import FrameRules
from huscf_flwr.session.ledger import Ledger
from huscf_flwr.session.serving import Serving
from huscf_flwr.session.turn import Turn
from huscf_flwr.session.wire_type import WireType

Progress = Callable[[int], None]
"""Called with how much is done: after each finished step with its number, from one."""


class LockStep:
    """One round's session between the executor and the hosts."""

    def __init__(
        self,
        executor: Executor,
        hosts: Sequence[Sequence[int]],
        *,
        ledger: Ledger,
        steps: int,
        patience: Patience = lambda _: math.inf,
        min_clients: int = 1,
        largest_batch: int | None = None,
        progress: Progress = lambda _: None,
        on_drop_out: OnDropOut = lambda *_: None,
        wire: WireType | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Open a session of ``steps`` steps.

        ``hosts`` lists the client ids of each host; a host that does not come to an exchange within its
        ``patience``, by ``clock``, has dropped out, and below ``min_clients`` the session fails;
        ``largest_batch`` bounds the samples in a frame; ``on_drop_out`` is called with every client that
        drops out; ``wire`` is how numbers cross, on every channel.
        """
        self._steps = steps
        self._ledger = ledger
        self._progress = progress
        self._attendance = Attendance(hosts, min_clients=min_clients, on_drop_out=on_drop_out)
        self._rules = FrameRules(executor, wire or WireType(), largest_batch)
        self._turn = Turn(executor.exchanges)
        self._serving = Serving(executor)
        self._clock = StepClock(patience, clock)
        self._changed = threading.Condition()
        self.waited = [0.0] * len(self.hosts)
        """Seconds that the frames of each host were here: until all others had come and were served."""

    @property
    def hosts(self) -> tuple[tuple[int, ...], ...]:
        """The client ids of each host, those that have dropped out included."""
        return self._attendance.hosts

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges of a step."""
        return self._turn.exchanges

    @property
    def wire(self) -> WireType:
        """How numbers cross."""
        return self._rules.wire

    @property
    def steps(self) -> int:
        """Number of steps that the session has."""
        return self._steps

    @property
    def step_seconds(self) -> list[float]:
        """How long each step took; the first from the opening of the session on."""
        return self._clock.step_seconds

    @property
    def finished_steps(self) -> int:
        """Number of steps that all hosts have finished."""
        return len(self._clock.step_seconds)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.finished_steps == self._steps

    @property
    def served_s(self) -> float:
        """Seconds that the executor computed."""
        return self._serving.served_s

    @property
    def idle_s(self) -> float:
        """Seconds since the last step was finished, or the session was opened."""
        return self._clock.idle_s

    @property
    def failure(self) -> BaseException | None:
        """What ended the session early, if anything did."""
        return self._attendance.failure

    @property
    def stopped(self) -> BaseException | None:
        """Why the session ends after the step that is going on, if it was stopped."""
        return self._serving.stopped

    @property
    def dropped(self) -> Mapping[int, DroppedClient]:
        """The clients that dropped out so far."""
        with self._changed:
            return dict(self._attendance.dropped)

    def present(self, host: int) -> tuple[int, ...]:
        """Return the clients of ``host`` that have not dropped out."""
        with self._changed:
            return self._attendance.of(host)

    @property
    def arrived(self) -> frozenset[int]:
        """The hosts that have come to the exchange that is due."""
        with self._changed:
            return frozenset(self._turn.arrived)

    def tensor_bytes(self, host: int, direction: Direction) -> list[int] | None:
        """Return the most bytes on the wire of each tensor of one step of ``host``.

        None if nothing bounds the size of a batch.
        """
        return self._rules.tensor_bytes(self.hosts[host], direction)

    def expect(self, client: int, exchange: Exchange, frame: Sequence[TensorHeader]) -> None:
        """Raise ``FrameError`` unless a frame like this one is due now: before its numbers are let in.

        The frame is meant as it is on the wire.
        """
        with self._changed:
            due, batch = self._turn.due, self._rules.batch_of(client)
        if exchange != due:
            raise FrameError(f"client {client} sent {exchange.name}, but {due.name} is due")
        self._rules.check_header(client, exchange, frame, batch)

    def exchange(self, host: int, exchange: Exchange, frames: Parcels) -> Parcels:
        """Take part in one exchange; return the frames for the clients of ``host`` that have not dropped out.

        Those that dropped out since the host's last exchange come down as such, with the reason. Raises
        ``SessionError`` if this host breaks the protocol, which costs its clients the session, or if the
        session has failed for all.
        """
        came = time.perf_counter()
        checked = self._rules.checked(exchange, frames)
        with self._changed:
            self._arrive(host, exchange, checked)
            number = self._turn.number
            self._changed.notify_all()
            while self._turn.number == number and self.failure is None:
                if self._turn.is_served or self._missing():
                    self._changed.wait(None if self._turn.is_served else self._clock.seconds_left)
                    self._give_up_late()
                else:
                    self._serve()
            if self._turn.number == number:
                raise self._over(exchange)
            self.waited[host] += time.perf_counter() - came
            return {client: self._answer(client) for client in frames}

    def drop(self, client: int, reason: str) -> None:
        """Let ``client`` drop out because of ``reason``."""
        with self._changed:
            self._drop(client, reason)

    def leave(self, host: int, reason: str) -> None:
        """Let all clients of ``host`` drop out because of ``reason``."""
        with self._changed:
            self._leave(host, reason)

    def give_up_late(self) -> None:
        """Let those drop out that should have come by now.

        Hosts that wait see to it by themselves; where all of a session's hosts may be gone, somebody else
        must.
        """
        with self._changed:
            self._give_up_late()

    def abort(self, reason: BaseException) -> None:
        """End the session for all hosts because of ``reason``; the first reason given stays."""
        with self._changed:
            self._fail(reason)

    def stop(self, reason: BaseException) -> None:
        """End the session for all hosts because of ``reason``, but after the step that is going on."""
        self._serving.stopped = reason

    def wait_until_idle(self) -> None:
        """Wait until the executor does not compute for this session; it may, although that has failed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._turn.is_served)

    # All below is called with the lock held.

    def _arrive(self, host: int, exchange: Exchange, frames: Parcels) -> None:
        if self.failure is not None:
            raise self._over(exchange)
        if self.finished:
            raise SessionError(f"the session has {self._steps} steps, and all are done")
        broken = self._broken_rule(host, exchange, frames)
        if broken:
            self._leave(host, broken)
            raise SessionError(broken)
        for client, parcel in frames.items():
            if client not in self._attendance:
                continue
            if isinstance(parcel, DropOut):
                self._drop(client, parcel.reason)
                continue
            self._rules.note(client, parcel)
            self._turn.bring(client, parcel)
            self._ledger.record_frame(client, exchange, "up", parcel, self.wire)
        self._turn.arrived.add(host)

    def _broken_rule(self, host: int, exchange: Exchange, frames: Parcels) -> str:
        due = self._turn.due
        if exchange != due:
            return f"host {host} sent {exchange.name}, but {due.name} is due"
        clients, present = set(self.hosts[host]), set(self._attendance.of(host))
        if not set(frames) <= clients or not present <= set(frames):
            return f"host {host} sent clients {sorted(frames)}, not {sorted(present)}"
        return ""

    def _leave(self, host: int, reason: str) -> None:
        for client in self._attendance.of(host):
            self._drop(client, reason)

    def _drop(self, client: int, reason: str) -> None:
        dropped = DroppedClient(None, None, reason)
        if not self.finished:
            step, exchange = self._turn.next_unserved(self.finished_steps)
            dropped = DroppedClient(step, exchange.name, reason)
        if self._attendance.drop(client, dropped, finished=self.finished):
            self._turn.withdraw(client)
            self._changed.notify_all()

    def _give_up_late(self) -> None:
        if self._turn.is_served or self.finished or not self._clock.is_late:
            return
        for host in self._missing():
            self._leave(host, f"did not come to {self._turn.due.name} within {self._clock.allowed_s:.3g} s")

    def _missing(self) -> list[int]:
        return [
            host
            for host in range(len(self.hosts))
            if host not in self._turn.arrived and self._attendance.of(host)
        ]

    def _serve(self) -> None:
        """Let the executor compute, without the lock, and end the turn."""
        exchange, up = self._turn.due, self._turn.take()
        self._turn.is_served = True
        started = time.perf_counter()
        try:
            with self._unlocked():
                down = self._advance(exchange, up)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._turn.is_served = False
        self._serving.add_seconds(started)
        answers = {client: frame for client, frame in down.items() if client in self._attendance}
        for client, frame in answers.items():
            self._rules.note(client, frame)
            self._ledger.record_frame(client, exchange, "down", frame, self.wire)
        self._turn.answer(answers)
        self._end_turn()

    def _end_turn(self) -> None:
        if self._turn.is_last:
            self._rules.begin_step()
            self._clock.end_step()
            self._progress(self.finished_steps)
        self._turn.end()
        self._clock.expect_exchange()
        self._changed.notify_all()

    def _advance(self, exchange: Exchange, up: Frames) -> Frames:
        """Run the executor's part of an exchange: without the lock."""
        if self._turn.is_first:
            self._serving.begin_step(self.finished_steps + 1)
        down = self._serving.serve(up)
        unanswered = sorted(up.keys() - down.keys())
        if unanswered:
            raise SessionError(f"the executor has no answer for clients {unanswered} in {exchange.name}")
        try:
            self._rules.check_answers(exchange, down)
        except (FrameError, FloatingPointError) as error:
            raise SessionError(str(error)) from error
        if self._turn.is_last:
            self._serving.end_step()
        return down

    def _answer(self, client: int) -> Parcel:
        # Its frame is gone if it dropped out of this turn; in the next one it may have dropped out already.
        frame = self._turn.answer_for(client)
        return DropOut(self._attendance.dropped[client].reason) if frame is None else frame

    @contextmanager
    def _unlocked(self) -> Iterator[None]:
        self._changed.release()
        try:
            yield
        finally:
            self._changed.acquire()

    def _fail(self, reason: BaseException) -> None:
        self._attendance.fail(reason)
        self._changed.notify_all()

    def _over(self, exchange: Exchange) -> SessionError:
        error = SessionError(f"step {self.finished_steps + 1}, {exchange.name}: {self.failure}")
        error.__cause__ = self.failure
        return error
