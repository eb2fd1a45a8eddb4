"""A step of HuSCF-GAN over a link, measured beside what the latency model predicts for it.

Steps are real: the executor in this process, hosts in processes of their own, gRPC between them, and a relay
in between that is the link (see ``relay``). Hosts and executor share the cores of this machine, and so does
the prediction: each client is a device with its part of the speed that is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from huscf_flwr.bench.engines import Engine, time_steps
from huscf_flwr.bench.relay import Link, relayed
from huscf_flwr.config import RunConfig, WirePreset
from huscf_flwr.cuts import CutProblem, Device, LatencyOptions, Server
from huscf_flwr.cuts.measure import measure_packing, measure_speed
from huscf_flwr.models import Cut, model_spec_of
from huscf_flwr.session import sent_bytes

_WARM_UP = 1
_LOOPBACK_MBIT_PER_S = 2000.0
"""What several processes get through gRPC on one machine, roughly."""


@dataclass(frozen=True)
class LinkStep:
    """A step over one link with one preset."""

    link: Link
    preset: WirePreset
    bytes_per_step: int
    measured_s: float
    """Of the fastest step: whatever else the machine does can only make it slower."""
    median_s: float
    predicted_s: float
    """By the latency model. It divides a link for all evenly: too much where some send less than others."""
    link_s: float
    """All bytes over the rate, and the delays of six exchanges, as if up and down were never at once."""
    round_trips_s: float
    """The part of the prediction, and of ``link_s``, that is delay."""


@dataclass(frozen=True)
class SpeedHere:
    """How fast this machine is, for whatever runs on it."""

    gflops: float
    packing_ns: float


def speed_here(config: RunConfig) -> SpeedHere:
    """Measure this machine with the networks of ``config``."""
    speed = measure_speed(model_spec_of(config), batch_size=config.batch_size, rule=config.cuts.flops)
    return SpeedHere(speed.model_gflops, measure_packing())


def problem_over(link: Link, config: RunConfig, speed: SpeedHere) -> CutProblem:
    """Return the problem of clients and executor that share this machine, with ``link`` between them."""
    clients = config.clients
    device = Device(
        name="part of this machine",
        gflops=speed.gflops / clients,
        mbit_per_s=link.mbit_per_s,
        download_mbit_per_s=link.mbit_per_s,
        delay_ms=link.delay_ms,
        packing_ns=speed.packing_ns * clients,
    )
    served = link.mbit_per_s if link.is_shared else _LOOPBACK_MBIT_PER_S
    server = Server(gflops=speed.gflops, mbit_per_s=served, packing_ns=speed.packing_ns)
    return CutProblem(
        model_spec_of(config),
        (device,) * clients,
        server,
        config.batch_size,
        config.cuts.flops,
        LatencyOptions(server_link_shared=link.is_shared),
        sent=sent_bytes(config),
    )


def time_link(
    link: Link, config: RunConfig, cuts: Mapping[int, Cut], speed: SpeedHere, *, hosts: int, repeats: int
) -> LinkStep:
    """Time ``repeats`` steps of ``config`` over ``link``, after one that does not count; predict them too.

    Raises ``ValueError`` if there are more hosts than clients.
    """
    problem, in_order = problem_over(link, config, speed), [cuts[client] for client in sorted(cuts)]
    timed = time_steps(
        Engine.GRPC,
        config,
        cuts,
        hosts=hosts,
        repeats=repeats,
        warm_up=_WARM_UP,
        reached=lambda address: relayed(address, link),
    )
    predicted_s = problem.latency(in_order)
    round_trips_s = predicted_s - _without_delay(problem).latency(in_order)
    bits = 8 * timed.bytes_per_step / (1 if link.is_shared else hosts)
    return LinkStep(
        link=link,
        preset=config.wire.chosen,
        bytes_per_step=timed.bytes_per_step,
        measured_s=timed.seconds_min,
        median_s=timed.seconds,
        predicted_s=predicted_s,
        link_s=bits / (1e6 * link.mbit_per_s) + round_trips_s,
        round_trips_s=round_trips_s,
    )


def _without_delay(problem: CutProblem) -> CutProblem:
    near: Sequence[Device] = [device.model_copy(update={"delay_ms": 0.0}) for device in problem.devices]
    return replace(problem, devices=tuple(near))
