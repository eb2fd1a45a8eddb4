"""How uploads cross, whatever the method: as they are, or by how much they differ from what was sent down.

The *base* of a tensor of an upload is what the order for the same round had under the same kind and name.
Both ends have it, whoever took part before, and it is forgotten with the round: what a client sends is never
added to anything but what it was sent, whether it was away, has just joined or has changed its cluster. Of a
tensor with a base there crosses

- nothing, if it has not moved: the server takes its own;
- the difference, packed, if it is of floating point and has two axes or more, such as the weights of a layer;
- otherwise all of it as it is: integers, and vectors such as biases and the running statistics of BatchNorm.
  Those are few numbers, and a variance must not come out below zero.

A tensor without a base, of which the round's order has nothing, crosses as it is: class means, the first
upload of a client that began with weights of its own, the global generators of HFL-GAN if they are averaged
every second round or less often, and discriminators that MD-GAN swaps as rarely, which came earlier.

What rounding takes from a difference is the client's *residual*: it stays on the client, and is added to the
next difference of that tensor (error feedback: F. Seide and others, 1-bit stochastic gradient descent, 2014).
So what has arrived over some rounds is the sum of what was to be sent, but for the last residual. While a
tensor has no base, or is not sent at all, its residual waits. It is kept
in the client's own file, so that it belongs to the same round as all else that the client keeps: resumed with
it, and taken back with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.contract import Crossing, Form, Order, Orders, Parts, Tensors
from huscf_flwr.methods.crossing import misfit
from huscf_flwr.session import TensorHeader, packing, upload_form

_RESIDUAL = "upload-residual/"
"""How the names of residuals begin among all that a client keeps."""
_LEAST_AXES = 2
"""Of a tensor whose differences are packed."""

Residuals = Mapping[str, Tensor]
"""By ``<kind>/<name>``, only where there is something left; on the CPU."""


@dataclass(frozen=True)
class UploadWire:
    """How the tensors of uploads cross, the same at both ends."""

    form: packing.PackedForm | None
    """Of a difference; ``None`` leaves every upload as it is."""
    crossing: Crossing

    @classmethod
    def of(cls, config: RunConfig, crossing: Crossing) -> UploadWire:
        """Return how the uploads that ``crossing`` lists cross in a run."""
        return cls(upload_form(config), crossing)

    def bases(self, orders: Orders) -> Orders:
        """Return copies of what uploads may differ from, as ``orders`` have it now.

        Copies, since a client or a method may train what it has handed over or been given.
        """
        if self.form is None:
            return Orders(clients={client: Order() for client in orders.clients})
        groups = {name: self._copied(parts) for name, parts in orders.groups.items()}
        own = {
            client: Order(tensors=self._copied(order.tensors), groups=order.groups)
            for client, order in orders.clients.items()
        }
        return Orders(clients=own, groups=groups)

    def sent(self, tensors: Parts, bases: Parts, residuals: Residuals) -> tuple[Parts, Residuals]:
        """Return what crosses of an upload's ``tensors``, and what is then left of it on the client.

        Residuals of tensors that are not in this upload, or cross as they are, stay as they are.
        """
        if self.form is None:
            return tensors, {}
        crossing: dict[str, dict[str, Tensor]] = {}
        left = dict(residuals)
        for kind, named in tensors.items():
            for name, tensor in named.items():
                key, base = f"{kind}/{name}", bases.get(kind, {}).get(name)
                packed, residual = self._leaving(tensor, base, left.pop(key, None))
                if packed is not None:
                    crossing.setdefault(kind, {})[name] = packed
                if residual is not None and kind not in self.crossing.handed_on:
                    left[key] = residual
        return crossing, left

    def received(self, tensors: Parts, bases: Parts, form: Form) -> dict[str, Tensors]:
        """Return an upload of ``form`` from what has crossed of it.

        Raises ``ValueError``, whose words begin with the kind, if it is not what must cross, or not finite.
        Types and shapes are looked at before anything is unpacked.
        """
        return {
            kind: self._arrived(kind, tensors.get(kind, {}), bases.get(kind, {}), form.get(kind, {}))
            for kind in sorted(form.keys() | tensors.keys())
        }

    def _copied(self, parts: Parts) -> Parts:
        return {
            kind: {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
            for kind, tensors in parts.items()
            if kind in self.crossing.upload_kinds
        }

    def _leaving(
        self, tensor: Tensor, base: Tensor | None, residual: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what crosses of a tensor, and its new residual: ``None`` where there is nothing."""
        if residual is not None and residual.shape != tensor.shape:
            residual = None
        if base is None or not _fits(base, TensorHeader.of(tensor)):
            return tensor, residual
        own = tensor.detach().cpu()
        if self.form is None or not _is_packed(TensorHeader.of(own)):
            return (None if torch.equal(own, base) else tensor), None
        difference = own - base if residual is None else own - base + residual
        if not bool(difference.any()):
            return None, None
        packed = packing.pack(difference.flatten(), self.form, _no_signs())
        left = difference - _unpacked(packed, base, self.form)
        return packed, left if bool(left.any()) else None

    def _arrived(
        self, kind: str, found: Tensors, bases: Tensors, form: Mapping[str, TensorHeader]
    ) -> Tensors:
        known = {name for name, header in form.items() if name in bases and _fits(bases[name], header)}
        still = known - found.keys()
        expected = {
            name: self._packed_header(header) if name in known else header
            for name, header in form.items()
            if name not in still
        }
        _refuse(kind, misfit(found, expected))
        if self.form is None or not known:
            return found
        moved = {name: form[name] for name in form if name in known - still and _is_packed(form[name])}
        whole = {name: bases[name] + _unpacked(found[name], bases[name], self.form) for name in moved}
        _refuse(kind, misfit(whole, moved))
        together = {**bases, **found, **whole}
        return {name: together[name] for name in form}

    def _packed_header(self, header: TensorHeader) -> TensorHeader:
        """Return what crosses of a tensor with a base."""
        if self.form is None or not _is_packed(header):
            return header
        return TensorHeader(torch.uint8, (self.form.byte_count(math.prod(header.shape)),))


def with_residuals(private: Tensors, residuals: Residuals) -> Tensors:
    """Return all that a client keeps: what its method does, and residuals."""
    return {**private, **{f"{_RESIDUAL}{key}": tensor for key, tensor in residuals.items()}}


def without_residuals(kept: Tensors) -> tuple[Tensors, Residuals]:
    """Return what ``with_residuals`` was given."""
    private = {name: tensor for name, tensor in kept.items() if not name.startswith(_RESIDUAL)}
    return private, {name.removeprefix(_RESIDUAL): kept[name] for name in kept.keys() - private.keys()}


def _fits(base: Tensor, header: TensorHeader) -> bool:
    return TensorHeader.of(base) == header


def _is_packed(header: TensorHeader) -> bool:
    """Return whether it is a difference that crosses of a tensor with a base."""
    return header.dtype.is_floating_point and len(header.shape) >= _LEAST_AXES


def _unpacked(packed: Tensor, base: Tensor, form: packing.PackedForm) -> Tensor:
    """Return a difference to ``base``; both ends compute it on the CPU, so that it is the same at both."""
    numbers = packing.unpack(packed.cpu(), base.numel(), form, _no_signs())
    return numbers.view(base.shape).to(base.dtype)


def _no_signs() -> torch.Generator:
    """Return the stream that numbers are packed with which are not rotated: nothing is drawn from it."""
    return torch.Generator()


def _refuse(kind: str, wrong: str | None) -> None:
    if wrong is not None:
        raise ValueError(f"{kind} {wrong}")
