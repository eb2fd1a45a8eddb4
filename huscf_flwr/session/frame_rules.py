"""What a client's frame must look like: tensors that are due, of its batch, with numbers that do no harm."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from huscf_flwr.session.exchange import (
    Direction,
    DropOut,
    Exchange,
    Executor,
    Frame,
    FrameError,
    Frames,
    Parcel,
    Parcels,
    TensorHeader,
    all_finite,
    batch_size,
    check_frame,
    clients_out_of_bounds,
)
from huscf_flwr.session.wire_type import WireType


class FrameRules:
    """Checks the frames of a session, in which all frames of a client in a step have as many samples."""

    def __init__(self, executor: Executor, wire: WireType, largest_batch: int | None) -> None:
        """Allow frames of up to ``largest_batch`` samples, or of any number."""
        self._executor = executor
        self.wire = wire
        self._largest_batch = largest_batch
        self._batches: dict[int, int] = {}

    def tensor_bytes(self, clients: Sequence[int], direction: Direction) -> list[int] | None:
        """Return the most bytes on the wire of each tensor of one step of ``clients``.

        None if nothing bounds the size of a batch.
        """
        if self._largest_batch is None:
            return None
        numbers = self._executor.dtype
        return [
            self.wire.byte_count(
                kind,
                TensorHeader(
                    kind.crosses_as(numbers), (self._largest_batch, *self._executor.shape(kind, client))
                ),
            )
            for client in clients
            for exchange in self._executor.exchanges
            for kind in exchange.kinds(direction)
        ]

    def batch_of(self, client: int) -> int | None:
        """Return the samples of the client's frames in this step, if it is known already."""
        return self._batches.get(client)

    def check_header(
        self, client: int, exchange: Exchange, frame: Sequence[TensorHeader], batch: int | None
    ) -> None:
        """Raise ``FrameError`` if a frame is not what is due, by what is known before its numbers come."""
        self._check(client, exchange, frame, batch, self._on_the_wire)

    def checked(self, exchange: Exchange, parcels: Parcels) -> Parcels:
        """Let those drop out whose frames are not what is due, or have numbers that could do harm."""
        known = {client: parcel for client, parcel in parcels.items() if client in self._executor.clients}
        checked = {client: self._due(client, exchange, parcel) for client, parcel in known.items()}
        frames = {client: parcel for client, parcel in checked.items() if not isinstance(parcel, DropOut)}
        harm = "numbers that are not finite or far too large, or integers out of range"
        harmful = {
            client: DropOut(f"client {client}, {exchange.name} up: {harm}")
            for client in clients_out_of_bounds(frames, exchange)
        }
        return {**parcels, **checked, **harmful}

    def check_answers(self, exchange: Exchange, frames: Frames) -> None:
        """Raise ``FrameError`` if what the executor sends down is not what the exchange lists.

        Raises ``FloatingPointError`` if its numbers are not finite.
        """
        for client, frame in frames.items():
            check_frame(
                frame,
                exchange,
                "down",
                self._executor,
                client=client,
                dtype=self._executor.dtype,
                batch=self._batches.get(client),
            )
        if not all_finite(frames):
            raise FloatingPointError("the executor's numbers are not finite any more")

    def note(self, client: int, frame: Frame) -> None:
        """Take note of how many samples a client's frames have in this step, if this one has any."""
        self._batches[client] = batch_size(frame) or self._batches.get(client, 0)

    def begin_step(self) -> None:
        """Let every client begin with a batch of another size."""
        self._batches = {}

    @property
    def _on_the_wire(self) -> torch.dtype:
        return self.wire.header_dtype(self._executor.dtype)

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
        check_frame(frame, exchange, "up", self._executor, client=client, dtype=dtype, batch=batch)
        if self._largest_batch is not None and batch_size(frame) > self._largest_batch:
            raise FrameError(
                f"client {client}, {exchange.name} up: {batch_size(frame)} samples, at most "
                f"{self._largest_batch} are allowed"
            )
