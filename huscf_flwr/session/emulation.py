"""Devices that are not there: clients that take as long as a slower machine and a slower link would.

The computation of an emulated client is real, and so is its time, which is stretched; its bytes are real and
wait as long as its link would need for them, and as it would pack them: what this machine needs itself to
send and to pack comes on top of that. What waits is the host: it holds the frames back until the
slowest of its clients would have sent them. So clients that share a host compute one after the other, but
seem to compute side by side, as long as together they need no longer than the slowest of them is meant to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from huscf_flwr.session.channel import Channel
from huscf_flwr.session.deadlines import Clock
from huscf_flwr.session.exchange import DropOut, Exchange, Kind, Parcel
from huscf_flwr.session.timing import ClientTimes, HostTimer
from huscf_flwr.session.wire_type import WireType

_AWAKE_SECONDS = 0.02


def sleep_lightly(seconds: float) -> None:
    """Sleep, but be wide awake at the end.

    A processor that has slept computes its first few milliseconds slower, and a device that is emulated would
    have these milliseconds stretched.
    """
    ends = time.perf_counter() + seconds
    time.sleep(max(0.0, seconds - _AWAKE_SECONDS))
    while time.perf_counter() < ends:
        pass


@dataclass(frozen=True)
class EmulatedDevice:
    """How a client's device differs from this machine."""

    stretch: float
    """How many times longer it computes."""
    upload_s_per_byte: float
    download_s_per_byte: float
    delay_s: float = 0.0
    """Of each frame, either way."""
    packing_s: float = 0.0
    """To pack or unpack a number that does not cross as it is; integers do."""


class EmulatedTimer(HostTimer):
    """Times the clients of a host as their devices would take, and makes the host take as long.

    Clients without a device are as fast as this machine.
    """

    def __init__(
        self,
        devices: Mapping[int, EmulatedDevice],
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = sleep_lightly,
        wire: WireType | None = None,
    ) -> None:
        super().__init__(clock)
        self._devices = devices
        self._sleep = sleep
        self._wire = wire or WireType()
        self._transfer_s = dict.fromkeys(devices, 0.0)
        self._busy_s = dict.fromkeys(devices, 0.0)
        self._received_at = clock()
        self._held: dict[int, Parcel] = {}
        self._received: dict[int, Parcel] = {}

    def send(self, channel: Channel, exchange: Exchange, client: int, parcel: Parcel) -> None:  # noqa: ARG002
        """Hold it back: it is sent with the others', when the slowest client would have sent its own."""
        if client in self._devices:
            self._transfer(client, self._devices[client].upload_s_per_byte, exchange.up, parcel)
        self._held[client] = parcel

    def receive(self, channel: Channel, exchange: Exchange) -> tuple[int, Parcel]:
        """Return the next client's answer; all of an exchange are received before the first is worked on.

        Else clients that seem to compute side by side would seem to get their answers one after the other.
        """
        if not self._received:
            self._exchange_all(channel, exchange)
        client = next(iter(self._received))
        return client, self._received.pop(client)

    def times(self) -> Mapping[int, ClientTimes]:
        """Return the times that the devices would have taken so far."""
        return {
            client: ClientTimes(real.compute_s, real.exchange_s + self._transfer_s.get(client, 0.0))
            for client, real in super().times().items()
        }

    def _exchange_all(self, channel: Channel, exchange: Exchange) -> None:
        self._wait_until(self._received_at + max(self._busy_s.values(), default=0.0))
        held, self._held = self._held, {}
        for client, parcel in held.items():
            super().send(channel, exchange, client, parcel)
        for _ in held:
            client, answer = super().receive(channel, exchange)
            self._received[client] = answer
        self._received_at = self._clock()
        self._busy_s = dict.fromkeys(self._devices, 0.0)
        for client in self._received.keys() & self._devices.keys():
            s_per_byte = self._devices[client].download_s_per_byte
            self._transfer(client, s_per_byte, exchange.down, self._received[client])

    def _computed(self, client: int, seconds: float) -> None:
        if client in self._devices:
            seconds *= self._devices[client].stretch
            self._busy_s[client] += seconds
        super()._computed(client, seconds)

    def _transfer(self, client: int, s_per_byte: float, kinds: tuple[Kind, ...], parcel: Parcel) -> None:
        device, size, numbers = self._devices[client], 0, 0
        for kind, tensor in zip(kinds, () if isinstance(parcel, DropOut) else parcel, strict=False):
            size += self._wire.byte_count(kind, tensor)
            numbers += tensor.numel() * tensor.is_floating_point()
        seconds = device.delay_s + s_per_byte * size + device.packing_s * numbers
        self._transfer_s[client] += seconds
        self._busy_s[client] += seconds

    def _wait_until(self, moment: float) -> None:
        left = moment - self._clock()
        if left > 0:
            self._sleep(left)
