"""Which cuts a device may have: what its memory, its energy and its owner leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huscf_flwr.cuts.costs import Floats, ModelCosts, NetworkCosts, edges
from huscf_flwr.cuts.devices import Device
from huscf_flwr.models import NETWORKS, Cut, ModelSpec, legal_cuts

Booleans = NDArray[np.bool_]

_MIB = 2.0**20
_BYTES_PER_TRAINED_PARAMETER = 16
"""Weight, gradient and the two moments of Adam, 32 bit each."""


class NoLegalCutError(ValueError):
    """A device whose limits leave no cut."""


@dataclass(frozen=True)
class CutDemands:
    """What each legal cut asks of a client in one step; arrays [cuts]."""

    cuts: tuple[Cut, ...]
    memory_mib: Floats
    gflop: Floats
    megabytes: Floats
    packed_numbers: Floats
    """In both directions, each counted as the part of ``packing_ns`` that both ends compute for it."""
    discriminator_head: Floats

    def energy_joule(self, device: Device) -> Floats:
        """Return the energy [cuts] that a step costs ``device``."""
        joule = self.gflop * (device.joule_per_gflop or 0.0)
        return joule + self.megabytes * (device.joule_per_megabyte or 0.0)

    def allowed(self, device: Device) -> Booleans:
        """Return which cuts [cuts] ``device`` may have.

        Raises ``NoLegalCutError`` with the device and the limit, if none is left.
        """
        limits = self._limits(device)
        for limit in limits:
            if not limit.fits.any():
                raise NoLegalCutError(
                    f"device {device.name}: no legal cut under {limit.setting}; {limit.best}. "
                    f"Change the limit, or choose another model or batch size"
                )
        allowed: Booleans = np.logical_and.reduce([limit.fits for limit in limits], dtype=np.bool_)
        if not allowed.any():
            settings = " and ".join(limit.setting for limit in limits)
            raise NoLegalCutError(
                f"device {device.name}: no legal cut under {settings} together; change one of them"
            )
        return np.broadcast_to(allowed, len(self.cuts))

    def _limits(self, device: Device) -> list[_Limit]:
        limits = []
        for name, bound, need in (
            ("memory_mib", device.memory_mib, self.memory_mib),
            ("energy_joule_per_step", device.energy_joule_per_step, self.energy_joule(device)),
        ):
            if bound is not None:
                best = f"the lightest cut needs {need.min():.4g}"
                limits.append(_Limit(f"{name} = {bound:g}", need <= bound, best))
        least = device.least_discriminator_head
        best = f"the model allows at most {int(self.discriminator_head.max())}"
        if least > 1:
            limits.append(
                _Limit(f"least_discriminator_head = {least}", self.discriminator_head >= least, best)
            )
        return limits


@dataclass(frozen=True)
class _Limit:
    setting: str
    fits: Booleans
    """[cuts]"""
    best: str
    """The nearest that any cut comes to it."""


def cut_demands(spec: ModelSpec, costs: ModelCosts, *, local_discriminator: bool = False) -> CutDemands:
    """Return what each legal cut of the model asks of a client; see ``legal_cuts``.

    Memory is an estimate: weights, their gradients and moments, and what autograd keeps; the framework's
    own needs and the images are left out.
    """
    cuts = legal_cuts(spec, local_discriminator=local_discriminator)
    demands = np.zeros((4, len(cuts)))
    for column, cut in enumerate(cuts):
        for network in NETWORKS:
            of_network = costs.network(network)
            demands[:, column] += _of_network(of_network, cut.head(network), cut.tail(network))
    heads = np.array([cut.discriminator_head for cut in cuts], dtype=np.float64)
    return CutDemands(cuts, demands[0] / _MIB, demands[1], demands[2] / 1e6, demands[3], heads)


def _of_network(costs: NetworkCosts, head: int, tail: int) -> Floats:
    """Return bytes of memory, GFLOP, and of what crosses in both directions bytes and packed numbers."""
    kept = costs.kept(head, tail)
    memory = _BYTES_PER_TRAINED_PARAMETER * costs.parameters[kept].sum() + costs.kept_bytes[kept].sum()
    gflop = (costs.client_forward_gflop + costs.client_backward_gflop)[kept].sum()
    both_ways = (costs.forward_bytes + costs.backward_bytes, 2 * costs.packed_numbers)
    cuts_at = [head, len(costs.parameters) - tail]
    crossing = [edges(each)[cuts_at].sum() for each in both_ways]
    return np.array([memory, gflop, *crossing])
