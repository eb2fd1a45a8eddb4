"""Device profiles as they are believed: declared at first, then learned from how long a round really took.

What is measured in a round gives the profile under which the latency model would have given those times: the
operations of the client's cut over its seconds of computation, and the bytes that its cut sends over its
seconds of transfer. A cut sends as many bytes up as down, and only the time of both together can be measured,
so the declared ratio of the two speeds stays, and so do the declared delay of the link and what both ends
need to pack, which is timed with the transfer and taken off.
Averages are taken over seconds per unit of work, which is what is measured: of a device that becomes ten
times slower, most is believed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from huscf_flwr.cuts.costs import ModelCosts
from huscf_flwr.cuts.devices import Device, Server
from huscf_flwr.cuts.part_times import EXCHANGES
from huscf_flwr.cuts.problem import CutProblem
from huscf_flwr.models import NETWORKS, Cut
from huscf_flwr.session import StepTimes

_LEAST_SECONDS = 1e-9
_MBIT = 1e6 / 8


@dataclass(frozen=True)
class Beliefs:
    """What the devices and the server are taken for.

    The first measurement of each takes the place of what was declared; every later one is averaged in.
    """

    devices: Mapping[int, Device]
    """By client id."""
    server: Server
    rounds: int = 0
    """Rounds measured so far."""
    unmeasured: frozenset[int] = frozenset()
    """Clients that had no part in any of these rounds."""

    def learned(
        self,
        problem: CutProblem,
        cuts: Mapping[int, Cut],
        times: Mapping[int, StepTimes],
        server_s: float,
        *,
        weight: float,
    ) -> Beliefs:
        """Return what is believed after a round with ``cuts``.

        ``problem`` has the networks and how work is counted; ``times`` may lack clients; ``server_s`` are the
        executor's seconds of computation in a step, for the clients in ``times``. A new measurement that is
        not the first has ``weight``, from 0 to 1, and everything before has the rest.
        """
        if not times:
            return self
        gflop = sum(server_gflop(problem.costs, cuts[client]) for client in times)
        server = self._learned_server(gflop, server_s, weight if self.rounds else 1.0)
        server_packing_s = len(times) * server.packing_s
        unmeasured = self.unmeasured if self.rounds else frozenset(self.devices)
        weights = {client: 1.0 if client in unmeasured else weight for client in times}
        learned = {
            client: self._learned_device(
                problem, self.devices[client], cuts[client], of_step, weights[client], server_packing_s
            )
            for client, of_step in times.items()
        }
        return Beliefs({**self.devices, **learned}, server, self.rounds + 1, unmeasured.difference(times))

    def _learned_server(self, gflop: float, seconds: float, weight: float) -> Server:
        measured = max(seconds, _LEAST_SECONDS) / gflop
        return self.server.model_copy(update={"gflops": 1 / _blend(1 / self.server.gflops, measured, weight)})

    def _learned_device(
        self,
        problem: CutProblem,
        device: Device,
        cut: Cut,
        times: StepTimes,
        weight: float,
        server_packing_s: float,
    ) -> Device:
        demands, place = problem.demands, problem.cuts.index(cut)
        compute = max(times.compute_s, _LEAST_SECONDS) / demands.gflop[place]
        gflops = float(1 / _blend(1 / device.gflops, compute, weight))
        device = device.model_copy(update={"gflops": gflops})
        one_way_bytes = demands.megabytes[place] * 1e6 / 2
        delays_s = _one_way_delays(problem) * device.delay_ms / 1e3
        packing_s = demands.packed_numbers[place] * (device.packing_s + server_packing_s)
        transfer = max(times.transfer_s - delays_s - packing_s, _LEAST_SECONDS) / one_way_bytes
        down_bytes_per_s = min(device.download_bytes_per_s, self.server.bytes_per_s)
        believed = 1 / device.upload_bytes_per_s + 1 / down_bytes_per_s
        slower = _blend(believed, transfer, weight) / believed
        return device.model_copy(
            update={
                "mbit_per_s": float(device.mbit_per_s / slower),
                "download_mbit_per_s": float(down_bytes_per_s / _MBIT / slower),
            }
        )


def _one_way_delays(problem: CutProblem) -> int:
    """Return how often in a step a client waits for something that is on its way."""
    networks = NETWORKS[:1] if problem.local_discriminator else NETWORKS
    return sum(4 * EXCHANGES[network] for network in networks)


def server_gflop(costs: ModelCosts, cut: Cut) -> float:
    """Return the arithmetic of the bodies for one client's batch in one step."""
    total = 0.0
    for name in NETWORKS:
        network = costs.network(name)
        body = slice(cut.head(name), len(network.parameters) - cut.tail(name))
        total += (network.server_forward_gflop + network.server_backward_gflop)[body].sum()
    return float(total)


def _blend(before: float, now: float, weight: float) -> float:
    return (1 - weight) * before + weight * now
