"""Times of each part of a cut, tabulated once for all depths: what the latency model adds up.

The *depth* of a part counts its movable blocks from zero: at depth d a head keeps the first d blocks of its
network beside those that each legal cut keeps, and a tail the last d.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from huscf_flwr.cuts.costs import Floats, ModelCosts, NetworkCosts, edges
from huscf_flwr.cuts.devices import Device, Server
from huscf_flwr.models import NetworkName

EXCHANGES: Mapping[NetworkName, int] = {"generator": 1, "discriminator": 2}
"""In how many exchanges of a step a network is passed forward, and as often back.

The discriminator's passes to learn, fakes and reals, go together; the pass for the generator goes alone.
"""


@dataclass(frozen=True)
class Speeds:
    """Speeds of every row [rows] and of the server, as the latency model uses them."""

    gflops: Floats
    upload_s_per_byte: Floats
    download_s_per_byte: Floats
    delay_s: Floats
    """Of a byte, one way."""
    server_gflops: float
    packing_s: Floats
    """To pack or unpack a number at both ends: the device's time, and the server's for each client."""

    @classmethod
    def of(
        cls, devices: Sequence[Device], server: Server, clients: int, *, server_link_shared: bool
    ) -> Speeds:
        """Tabulate the speeds; a shared link gives each of ``clients`` an even part of the server's.

        Unshared, an upload is bounded by the client's link alone and a download by the server's, and by the
        client's download if its profile has one (quirk 30).
        """
        served = server.bytes_per_s / (clients if server_link_shared else 1)
        upload = np.array([device.upload_bytes_per_s for device in devices])
        download = np.minimum([device.download_bytes_per_s for device in devices], served)
        if server_link_shared:
            upload = np.minimum(upload, served)
        gflops = np.array([device.gflops for device in devices])
        packing = np.array([device.packing_s for device in devices]) + clients * server.packing_s
        delay = np.array([device.delay_ms for device in devices]) / 1e3
        return cls(gflops, 1 / upload, 1 / download, delay, server.gflops, packing)


@dataclass(frozen=True)
class PartTimes:
    """Times of one part in its two stages, forward (0) and backward (1)."""

    name: str
    """Field of ``Cut``."""
    compute_s: Floats
    """[2, rows, depths]: a client's arithmetic."""
    link_s: Floats
    """[2, rows, depths]: a client's transfer, the delays of its link included."""
    packing_s: Floats
    """[rows, depths]: what crosses in a stage packed and unpacked, if all clients had this depth."""
    server_s: Floats
    """[2, depths - 1]: the server, for one client's batch in each movable block, outermost first."""
    segment_weights: Floats
    """[depths]: how many the client keeps."""

    @property
    def depths(self) -> int:
        """Number of choices: one more than there are movable blocks."""
        return len(self.segment_weights)

    def client_s(self) -> Floats:
        """Return [2, rows, depths]: until what a client sends is there, or what it is sent has been used."""
        return self.compute_s + self.link_s + self.packing_s


def part_times(name: str, costs: ModelCosts, speeds: Speeds, kept: range) -> PartTimes:
    """Tabulate the part that the field ``name`` of ``Cut`` sets, with ``kept`` as its choices."""
    network: NetworkName = "generator" if name.startswith("generator") else "discriminator"
    return _tabulate(name, costs.network(network), speeds, kept, EXCHANGES[network])


def _tabulate(name: str, costs: NetworkCosts, speeds: Speeds, kept: range, exchanges: int) -> PartTimes:
    """Take blocks and boundaries from the client's end inwards.

    Forward, a head's boundary crosses up and a tail's down; backward, the other way round. What crosses is
    under way for the link's delay in each of the ``exchanges`` that a stage has.
    """
    is_head = name.endswith("head")
    inwards = slice(None) if is_head else slice(None, None, -1)
    choices = slice(kept.start, kept.stop)
    kept_gflop = np.stack(
        [
            _sums(costs.client_forward_gflop[inwards])[choices],
            _sums(costs.client_backward_gflop[inwards])[choices],
        ]
    )
    forward, backward, packed = (
        edges(each)[inwards][choices]
        for each in (costs.forward_bytes, costs.backward_bytes, costs.packed_numbers)
    )
    directions = [speeds.upload_s_per_byte, speeds.download_s_per_byte]
    if not is_head:
        directions.reverse()
    server = np.stack([costs.server_forward_gflop[inwards], costs.server_backward_gflop[inwards]])
    crossing = np.stack([forward, backward])[:, None, :]
    delays = exchanges * speeds.delay_s[:, None] * (crossing > 0)
    return PartTimes(
        name,
        compute_s=kept_gflop[:, None, :] / speeds.gflops[None, :, None],
        link_s=np.stack(directions)[:, :, None] * crossing + delays,
        packing_s=speeds.packing_s[:, None] * packed,
        server_s=server[:, kept.start : kept.stop - 1] / speeds.server_gflops,
        segment_weights=_sums(costs.parameters[inwards])[choices],
    )


def _sums(of_blocks: Floats) -> Floats:
    """Return the sums [blocks + 1] over the first 0, 1, ... blocks."""
    return np.concatenate([[0.0], np.cumsum(of_blocks)])
