"""Heads of classifiers, which have the same form for all clients, whatever their extractors are."""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.methods.crossing import Tensors
from huscf_flwr.models.classifiers import ClassifierNetwork
from huscf_flwr.session import TensorHeader

HEAD = "head"
"""``weight`` [C, p] and ``bias`` [C] of the last layer: up a client's own, down the average."""

HEAD_NAMES = ("weight", "bias")


def head_of(network: ClassifierNetwork) -> dict[str, Tensor]:
    """Return the head of ``network``, on the CPU; live tensors unless the device is another."""
    return {name: tensor.detach().cpu() for name, tensor in network.head.named_parameters()}


def take_head(network: ClassifierNetwork, head: Tensors) -> None:
    """Copy ``head`` into ``network``."""
    network.head.load_state_dict(dict(head))


def head_form(classes: int, features: int, dtype: torch.dtype) -> dict[str, TensorHeader]:
    """Return types and shapes of a head."""
    return {"weight": TensorHeader(dtype, (classes, features)), "bias": TensorHeader(dtype, (classes,))}
