"""Lock-step: hosts bring the frames of their clients, and nobody goes on before all have come.

A *host* is whoever runs some of the clients: a SuperNode, or a thread of this process. One of those that
arrived runs the executor's part of an exchange when the last has come, and every host leaves with what is
for its clients. All channels end here: what they differ in is only how frames reach this class.

A client that fails *drops out* of the session, and nobody else notices but by the numbers: in the step in
which it fails its activations so far stay, and gradients that it owes count as zero; from the next step on it
is absent. The session itself fails only if its executor does, or if too few clients are left.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from huscf_flwr.split.exchange import (
    Direction,
    DropOut,
    Exchange,
    Frame,
    FrameError,
    Frames,
    Parcel,
    Parcels,
    TensorHeader,
    all_finite,
    batch_size,
    check_frame,
    immoderate,
)
from huscf_flwr.split.executor import ExecutorStep, Observer, SplitExecutor
from huscf_flwr.split.ledger import Ledger
from huscf_flwr.split.wire_type import WireType

Progress = Callable[[int], None]
"""Called after each finished step with its number, from one."""

Patience = Callable[[float | None], float]
"""Gives the seconds that hosts have for the next exchange, from those of the longest step so far, if any."""


class SessionError(RuntimeError):
    """The lock-step cannot go on, for this host or for all."""


class TooFewClientsError(SessionError):
    """So many clients dropped out that the round is worth nothing."""


class Channel(Protocol):
    """A host's way to the executor.

    A client that drops out is sent up as such once, and not again; one that the executor gives up comes down
    as such. Once all of a host's clients have sent theirs in an exchange, one answer is received for each;
    those that have theirs may send in the next exchange while the others' are still on their way.
    """

    def send(self, exchange: Exchange, client: int, parcel: Parcel) -> None:
        """Send up what is of one client, which must not change before the answer has come."""
        ...

    def receive(self, exchange: Exchange) -> tuple[int, Parcel]:
        """Return the next client that has its answer, and the answer."""
        ...


@dataclass(frozen=True)
class DroppedClient:
    """When and why a client dropped out of a session."""

    step: int
    exchange: Exchange
    """The first exchange in which it had no part."""
    reason: str


class LockStep:
    """One round's session between the executor and the hosts."""

    def __init__(
        self,
        executor: SplitExecutor,
        hosts: Sequence[Sequence[int]],
        *,
        ledger: Ledger,
        steps: int,
        patience: Patience = lambda _: math.inf,
        min_clients: int = 1,
        largest_batch: int | None = None,
        observe: Callable[[int], Observer | None] = lambda _: None,
        progress: Progress = lambda _: None,
        on_drop_out: Callable[[int, DroppedClient], None] = lambda *_: None,
        wire: WireType | None = None,
    ) -> None:
        """Open a session of ``steps`` steps.

        ``hosts`` lists the client ids of each host; a host that does not come to an exchange within its
        ``patience`` has dropped out, and below ``min_clients`` the session fails; ``largest_batch`` bounds
        the samples in a frame; ``observe`` gives the observer of a step, by its number from one;
        ``on_drop_out`` is told of every client that drops out; ``wire`` is how numbers cross, on every
        channel.
        """
        self._executor = executor
        self.hosts = tuple(tuple(clients) for clients in hosts)
        self._ledger = ledger
        self._steps = steps
        self._patience = patience
        self._min_clients = min_clients
        self._largest_batch = largest_batch
        self._observe = observe
        self._progress = progress
        self._on_drop_out = on_drop_out
        self.wire = wire or WireType()
        self._present = {client for clients in self.hosts for client in clients}
        self._dropped: dict[int, DroppedClient] = {}
        self._batches: dict[int, int] = {}
        self._up: dict[int, Frame] = {}
        self._down: Frames = {}
        self._expected = Exchange.GENERATE
        self._turn = 0
        self._arrived: set[int] = set()
        self._serving = False
        self._running: ExecutorStep | None = None
        self._failure: BaseException | None = None
        self._stop: BaseException | None = None
        self._changed = threading.Condition()
        self.step_seconds: list[float] = []
        """How long each step took; the first from the opening of the session on."""
        self._step_began = time.monotonic()
        self._seconds = math.inf
        self._deadline = math.inf
        self._set_deadline()
        self.waited = [0.0] * len(self.hosts)
        """Seconds that the frames of each host were here: until all others had come and were served."""
        self.served_s = 0.0
        """Seconds that the executor computed."""

    @property
    def steps(self) -> int:
        """Number of steps that the session has."""
        return self._steps

    @property
    def finished_steps(self) -> int:
        """Number of steps that all hosts have finished."""
        return len(self.step_seconds)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.finished_steps == self._steps

    @property
    def idle_s(self) -> float:
        """Seconds since the last step was finished, or the session was opened."""
        return time.monotonic() - self._step_began

    @property
    def failure(self) -> BaseException | None:
        """What ended the session early, if anything did."""
        return self._failure

    @property
    def dropped(self) -> Mapping[int, DroppedClient]:
        """The clients that dropped out so far."""
        with self._changed:
            return dict(self._dropped)

    def present(self, host: int) -> tuple[int, ...]:
        """Return the clients of ``host`` that have not dropped out."""
        with self._changed:
            return self._present_of(host)

    def tensor_bytes(self, host: int, direction: Direction) -> list[int] | None:
        """Return the most bytes on the wire of each tensor of one step of ``host``.

        None if nothing bounds the size of a batch.
        """
        if self._largest_batch is None:
            return None
        numbers = self._largest_batch * (self.wire.sent or self._executor.dtype).itemsize
        spec, cuts = self._executor.spec, self._executor.cuts
        return [
            numbers * math.prod(kind.shape(spec, cuts[client]))
            for client in self.hosts[host]
            for exchange in Exchange
            for kind in exchange.kinds(direction)
        ]

    def expect(self, client: int, exchange: Exchange, frame: Sequence[TensorHeader]) -> None:
        """Raise ``FrameError`` unless a frame like this one is due now: before its numbers are let in.

        The frame is meant as it is on the wire.
        """
        with self._changed:
            due, batch = self._expected, self._batches.get(client)
        if exchange is not due:
            raise FrameError(f"client {client} sent {exchange.name}, but {due.name} is due")
        self._check(client, exchange, frame, batch, self.wire.sent or self._executor.dtype)

    def exchange(self, host: int, exchange: Exchange, frames: Parcels) -> Parcels:
        """Take part in one exchange; return the frames for the clients of ``host`` that have not dropped out.

        Those that dropped out since the host's last exchange come down as such, with the reason. Raises
        ``SessionError`` if this host breaks the protocol, which costs its clients the session, or if the
        session has failed for all.
        """
        came = time.perf_counter()
        checked = self._checked(exchange, frames)
        with self._changed:
            self._arrive(host, exchange, checked)
            turn = self._turn
            self._changed.notify_all()
            while self._turn == turn and self._failure is None:
                if self._everybody_came() and not self._serving:
                    self._serve(exchange)
                else:
                    self._changed.wait(self._seconds_left())
                    self._give_up_late()
            if self._turn == turn:
                raise self._over(exchange)
            self.waited[host] += time.perf_counter() - came
            return {client: self._answer(client) for client in frames}

    def leave(self, host: int, reason: str) -> None:
        """Let all clients of ``host`` drop out because of ``reason``."""
        with self._changed:
            for client in self._present_of(host):
                self._drop(client, reason)

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
        self._stop = reason

    def wait_until_idle(self) -> None:
        """Wait until the bodies do not compute for this session; one that has failed may still be at it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._serving)

    # All below but _checked, _due, _check and _advance is called with the lock held.

    def _checked(self, exchange: Exchange, parcels: Parcels) -> Parcels:
        """Let those drop out whose frames are not what is due, or have numbers that could do harm."""
        known = {client: parcel for client, parcel in parcels.items() if client in self._executor.cuts}
        checked = {client: self._due(client, exchange, parcel) for client, parcel in known.items()}
        frames = {client: parcel for client, parcel in checked.items() if not isinstance(parcel, DropOut)}
        harmful = {
            client: DropOut(
                f"client {client}, {exchange.name} up: numbers that are not finite or far too large"
            )
            for client in immoderate(frames)
        }
        return {**parcels, **checked, **harmful}

    def _due(self, client: int, exchange: Exchange, parcel: Parcel) -> Parcel:
        if isinstance(parcel, DropOut):
            return parcel
        try:
            self._check(client, exchange, parcel, self._batches.get(client), self._executor.dtype)
        except FrameError as error:
            return DropOut(str(error))
        return parcel

    def _check(
        self,
        client: int,
        exchange: Exchange,
        frame: Sequence[TensorHeader] | Frame,
        batch: int | None,
        dtype: torch.dtype,
    ) -> None:
        spec, cut = self._executor.spec, self._executor.cuts[client]
        check_frame(frame, exchange, "up", client=client, spec=spec, cut=cut, dtype=dtype, batch=batch)
        if self._largest_batch is not None and batch_size(frame) > self._largest_batch:
            raise FrameError(
                f"client {client}, {exchange.name} up: {batch_size(frame)} samples, at most "
                f"{self._largest_batch} are allowed"
            )

    def _arrive(self, host: int, exchange: Exchange, frames: Parcels) -> None:
        if self._failure is not None:
            raise self._over(exchange)
        if self.finished:
            raise SessionError(f"the session has {self._steps} steps, and all are done")
        broken = self._broken_rule(host, exchange, frames)
        if broken:
            for client in self._present_of(host):
                self._drop(client, broken)
            raise SessionError(broken)
        for client, parcel in frames.items():
            if client not in self._present:
                continue
            if isinstance(parcel, DropOut):
                self._drop(client, parcel.reason)
                continue
            self._batches[client] = batch_size(parcel)
            self._up[client] = parcel
            self._ledger.record_frame(client, exchange, "up", parcel, self.wire)
        self._arrived.add(host)

    def _broken_rule(self, host: int, exchange: Exchange, frames: Parcels) -> str:
        if exchange is not self._expected:
            return f"host {host} sent {exchange.name}, but {self._expected.name} is due"
        clients, present = set(self.hosts[host]), set(self._present_of(host))
        if not set(frames) <= clients or not present <= set(frames):
            return f"host {host} sent clients {sorted(frames)}, not {sorted(present)}"
        return ""

    def _drop(self, client: int, reason: str) -> None:
        # That hosts leave a session that has failed is nobody's fault.
        if client not in self._present or self._failure is not None:
            return
        self._present.discard(client)
        self._up.pop(client, None)
        dropped = self._dropped[client] = DroppedClient(*self._next_unserved(), reason)
        self._on_drop_out(client, dropped)
        if len(self._present) < self._min_clients and not self.finished:
            self._fail(
                TooFewClientsError(
                    f"{len(self._present)} clients are left, fewer than min_clients = {self._min_clients}; "
                    f"the last to drop out was client {client}: {reason}"
                )
            )
        self._changed.notify_all()

    def _give_up_late(self) -> None:
        if self._serving or self.finished or time.monotonic() < self._deadline:
            return
        for host in self._missing():
            for client in self._present_of(host):
                self._drop(client, f"did not come to {self._expected.name} within {self._seconds:.3g} s")

    def _next_unserved(self) -> tuple[int, Exchange]:
        step = self.finished_steps + 1
        if not self._serving:
            return step, self._expected
        following = self._expected.following
        return step + (following is Exchange.GENERATE), following

    def _missing(self) -> list[int]:
        return [
            host for host in range(len(self.hosts)) if host not in self._arrived and self._present_of(host)
        ]

    def _everybody_came(self) -> bool:
        return not self._missing()

    def _present_of(self, host: int) -> tuple[int, ...]:
        return tuple(client for client in self.hosts[host] if client in self._present)

    def _serve(self, exchange: Exchange) -> None:
        self._serving = True
        up, self._up = self._up, {}
        started = time.perf_counter()
        try:
            with self._unlocked():
                down = self._advance(exchange, up)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._serving = False
        self.served_s += time.perf_counter() - started
        self._down = {client: frame for client, frame in down.items() if client in self._present}
        for client, frame in self._down.items():
            self._ledger.record_frame(client, exchange, "down", frame, self.wire)
        self._end_turn(exchange)

    def _end_turn(self, exchange: Exchange) -> None:
        if exchange is Exchange.GENERATOR_BACKWARD:
            self._batches = {}
            began, self._step_began = self._step_began, time.monotonic()
            self.step_seconds.append(self._step_began - began)
            self._progress(self.finished_steps)
        self._expected = exchange.following
        self._arrived = set()
        self._turn += 1
        self._set_deadline()
        self._changed.notify_all()

    def _advance(self, exchange: Exchange, up: Frames) -> Frames:
        if exchange is Exchange.GENERATE:
            if self._stop is not None:
                raise self._stop
            self._running = self._executor.step(self._observe(self.finished_steps + 1))
            next(self._running)
        assert self._running is not None
        down = self._running.send(up)
        if not all_finite(down):
            raise SessionError("the bodies' numbers are not finite any more")
        return down

    def _answer(self, client: int) -> Parcel:
        # Its frame is gone if it dropped out of this turn; in the next one it may have dropped out already.
        if client in self._down:
            return self._down[client]
        return DropOut(self._dropped[client].reason)

    @contextmanager
    def _unlocked(self) -> Iterator[None]:
        self._changed.release()
        try:
            yield
        finally:
            self._changed.acquire()

    def _fail(self, reason: BaseException) -> None:
        self._failure = self._failure or reason
        self._changed.notify_all()

    def _over(self, exchange: Exchange) -> SessionError:
        error = SessionError(f"step {self.finished_steps + 1}, {exchange.name}: {self._failure}")
        error.__cause__ = self._failure
        return error

    def _set_deadline(self) -> None:
        self._seconds = self._patience(max(self.step_seconds, default=None))
        self._deadline = time.monotonic() + self._seconds

    def _seconds_left(self) -> float | None:
        seconds = self._deadline - time.monotonic()
        return None if math.isinf(seconds) or self._serving else max(0.0, seconds)


class LocalChannel:
    """The channel of a host in the executor's own process.

    Nothing is copied; where the session has a wire type, numbers are rounded as if they had crossed in it.
    """

    def __init__(self, session: LockStep, host: int = 0) -> None:
        self._session = session
        self._host = host
        self._up: dict[int, Parcel] = {}
        self._down: dict[int, Parcel] = {}

    def send(self, exchange: Exchange, client: int, parcel: Parcel) -> None:  # noqa: ARG002 - in receive
        """Keep it until the others' are there: they go up together."""
        self._up[client] = self._crossed(parcel)

    def receive(self, exchange: Exchange) -> tuple[int, Parcel]:
        """Return the next client's answer; the first is waited for."""
        if not self._down:
            up, self._up = self._up, {}
            self._down = dict(self._session.exchange(self._host, exchange, up))
        client = next(iter(self._down))
        return client, self._crossed(self._down.pop(client))

    def _crossed(self, parcel: Parcel) -> Parcel:
        return parcel if isinstance(parcel, DropOut) else self._session.wire.crossed(parcel)
