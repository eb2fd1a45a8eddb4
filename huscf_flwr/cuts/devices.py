"""Device profiles: how fast a client computes, how fast its link is, and what it must not exceed.

Units are in the names of the fields. A *class* of devices is all clients with equal profiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import Field, PositiveInt, model_validator

from huscf_flwr.conf_files import Strict, find_conf, read_yaml, validate
from huscf_flwr.config import RunConfig

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_BYTES_PER_SECOND = 1e6 / 8
_FLOP_OF_PACKING = 400.0
"""Operations of the networks that a machine does while it packs a number: see ``_Machine``."""


class _Machine(Strict):
    """How fast a machine computes.

    Without ``packing_ns`` a machine is thought to pack the slower the slower it computes. One core of an AMD
    EPYC ran the networks at 80 GFLOP/s and packed or unpacked a number in 4.9 ns, in which it would have done
    400 operations of theirs. That is an estimate: packing goes over memory again and again and multiplies
    little, so it is too short for a GPU, and too long where it is its memory's size that slows a device down.
    """

    gflops: Positive
    """Speed of its arithmetic, in 1e9 operations per second."""
    packing_ns: Positive | None = None
    """To pack or unpack a number with ``wire.preset: smallest``, in 1e-9 seconds, all cores together.

    ``huscf devices measure`` finds yours; without it, it is estimated from ``gflops``.
    """

    @property
    def packing_s(self) -> float:
        """Seconds to pack or unpack a number with the preset that packs most."""
        estimated_ns = _FLOP_OF_PACKING / self.gflops
        return (estimated_ns if self.packing_ns is None else self.packing_ns) / 1e9


class Server(_Machine):
    """The machine that runs the bodies."""

    name: str = "server"
    mbit_per_s: Positive
    """Its link, in 1e6 bit per second, each way."""

    @property
    def bytes_per_s(self) -> float:
        """Speed of its link in bytes per second."""
        return self.mbit_per_s * _BYTES_PER_SECOND


class Device(_Machine):
    """A client's machine. The limits are optional; every cut solver respects those that are given."""

    name: str = Field(min_length=1)
    mbit_per_s: Positive
    """Its upload, in 1e6 bit per second."""
    download_mbit_per_s: Positive | None = None
    """Its download; without it, only the server's link bounds a download, as in the paper."""
    delay_ms: NonNegative = 0.0
    """How long a byte is on its way to the server, or back from it, in 1e-3 seconds: half a round trip."""
    memory_mib: Positive | None = None
    """Limit on weights, gradients, optimiser moments and kept activations of its blocks, in 2**20 bytes."""
    joule_per_gflop: NonNegative | None = None
    """Energy of 1e9 operations."""
    joule_per_megabyte: NonNegative | None = None
    """Energy of 1e6 bytes sent or received."""
    energy_joule_per_step: Positive | None = None
    """Limit on the energy of one step; needs at least one of the two costs above."""
    least_discriminator_head: PositiveInt = 1
    """The least number of blocks between its images and what it sends, which protect nothing.

    ``huscf privacy`` gets images out of two blocks as well; one block is cheaper.
    """

    @model_validator(mode="after")
    def _energy_has_a_cost(self) -> Device:
        costs = (self.joule_per_gflop, self.joule_per_megabyte)
        if self.energy_joule_per_step is not None and costs == (None, None):
            raise ValueError(
                f"{self.name}: energy_joule_per_step is {self.energy_joule_per_step}, but nothing costs "
                f"energy; add joule_per_gflop or joule_per_megabyte"
            )
        return self

    @property
    def upload_bytes_per_s(self) -> float:
        """Speed of its upload in bytes per second."""
        return self.mbit_per_s * _BYTES_PER_SECOND

    @property
    def download_bytes_per_s(self) -> float:
        """Speed of its download in bytes per second; infinite if only the server's link bounds it."""
        if self.download_mbit_per_s is None:
            return float("inf")
        return self.download_mbit_per_s * _BYTES_PER_SECOND


class ProfileFile(Strict):
    """Content of a file with profiles of devices, of a server or of none: an owner has one of a device."""

    server: Server | None = None
    devices: tuple[Device, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [device.name for device in self.devices]
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise ValueError(f"two devices are called {doubles[0]!r}; give each profile its own name")
        return self


class DeviceFile(ProfileFile):
    """Content of a file in ``conf/devices``: the server and one profile for each class of devices."""

    server: Server

    def without_slowest(self) -> DeviceFile | None:
        """Return the file without the device that computes slowest, or None if it is the only one."""
        if len(self.devices) == 1:
            return None
        slowest = min(self.devices, key=lambda device: device.gflops)
        return self.model_copy(update={"devices": tuple(d for d in self.devices if d != slowest)})


_File = TypeVar("_File", bound=ProfileFile)


def load_devices(name_or_path: str | Path) -> DeviceFile:
    """Read ``conf/devices/<name>.yaml`` or the file at a path.

    Raises ``ConfError`` with the field and the value found, if one is missing, unknown or not positive.
    """
    return _read(DeviceFile, name_or_path)


def load_profiles(name_or_path: str | Path) -> dict[str, Device]:
    """Return the profiles in such a file by name, also of one that says nothing of a server.

    Raises ``ConfError`` as ``load_devices`` does.
    """
    return {device.name: device for device in _read(ProfileFile, name_or_path).devices}


def _read(form: type[_File], name_or_path: str | Path) -> _File:
    path = find_conf("devices", name_or_path)
    return validate(form, read_yaml(path, form), str(path))


def deal(profiles: Sequence[Device], clients: int) -> tuple[Device, ...]:
    """Deal the profiles evenly to ``clients``: client i of N gets profile i mod n.

    Raises ``ValueError`` without clients or profiles.
    """
    if clients < 1:
        raise ValueError(f"clients is {clients}: at least 1 client is needed")
    if not profiles:
        raise ValueError("there are no device profiles to deal; give at least one")
    return tuple(profiles[client % len(profiles)] for client in range(clients))


def deal_devices(config: RunConfig) -> dict[int, Device]:
    """Deal the device profiles to the virtual clients of a run, by client id."""
    return dict(enumerate(deal(load_devices(config.cuts.devices).devices, config.clients)))
