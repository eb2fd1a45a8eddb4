"""What times the clients of a host: the clock alone, or devices that are emulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import Device, FlopRule, Server, load_devices
from huscf_flwr.cuts.measure import measure_speed
from huscf_flwr.cuts.part_times import Speeds
from huscf_flwr.models import ModelSpec, model_spec_of
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.session import EmulatedDevice, EmulatedTimer, HostTimer, sent_bytes, wire_type_of

TimerFactory = Callable[[int, Sequence[int]], HostTimer]
"""Makes the timer of a host, from the number of the round and the host's clients."""


def host_timer(config: RunConfig, devices: Mapping[int, Device]) -> HostTimer:
    """Return what times a host of virtual clients with these device profiles in one round."""
    if not config.cuts.emulate:
        return device_timer(config)
    spec, rule = model_spec_of(config), config.cuts.flops
    gflops_here = _speed_here(spec, config.batch_size, rule, dtype_of(config))
    server = load_devices(config.cuts.devices).server
    slowed = emulated(devices, server, gflops_here, sent_bytes(config).packing)
    return EmulatedTimer(slowed, wire=wire_type_of(config, 0))


def device_timer(config: RunConfig) -> HostTimer:
    """Return what times a host whose clients are no faster and no slower than this process.

    A GPU is waited for only where cuts are chosen by these times: clients then compute one after the other.
    """
    if config.cuts.dynamic and device_of(config.compute).type == "cuda":
        return HostTimer(settle=torch.cuda.synchronize)
    return HostTimer()


def emulated(
    devices: Mapping[int, Device], server: Server, gflops_here: float, packing: float
) -> dict[int, EmulatedDevice]:
    """Return how each device differs from this machine, whose speed is ``gflops_here``.

    ``packing`` is what it computes for a number that crosses: see ``SentBytes``.
    """
    clients = sorted(devices)
    profiles = [devices[client] for client in clients]
    speeds = Speeds.of(profiles, server, len(clients), server_link_shared=False)
    return {
        client: EmulatedDevice(
            gflops_here / devices[client].gflops,
            float(speeds.upload_s_per_byte[row]),
            float(speeds.download_s_per_byte[row]),
            float(speeds.delay_s[row]),
            packing * devices[client].packing_s,
        )
        for row, client in enumerate(clients)
    }


@lru_cache(maxsize=1)
def _speed_here(spec: ModelSpec, batch_size: int, rule: FlopRule, dtype: torch.dtype) -> float:
    return measure_speed(spec, batch_size=batch_size, rule=rule, dtype=dtype).model_gflops
