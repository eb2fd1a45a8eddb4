"""What one client has: images to train on, images of its own that it does not train on, and test images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.data.domains import Domain
from huscf_flwr.data.images import LabelledImages
from huscf_flwr.seeding import torch_stream


@dataclass(frozen=True, eq=False)
class ClientData:
    """A client's images, in the form that the network expects.

    Attributes:
        train: the images that it trains on, at least one.
        held_out: its other images, which like ``train`` are distributed as its own are; perhaps none.
        test: the global test set: for a virtual client that of its domain, for an owner the one that lies in
            its folder; perhaps none.
        domain: where they come from; for an owner that is its folder.
    """

    train: LabelledImages
    held_out: LabelledImages
    test: LabelledImages
    domain: Domain


def split_held_out(
    images: LabelledImages, fraction: float, *, seed: int, client: int
) -> tuple[LabelledImages, LabelledImages]:
    """Return the images that a client trains on and those that it holds out, each in their order.

    Args:
        images: all that the client has; at least one.
        fraction: share to hold out, from 0 to below 1, rounded down; one image is always left to train on.
            With 0 the images are returned as they are, and nothing is drawn.
        seed: of the run; the draw is from a stream named by it and the client.
        client: its id.
    """
    held_out = held_out_places(len(images), fraction, seed=seed, client=client)
    if not held_out.any():
        return images, images.none
    return images.subset(torch.nonzero(~held_out)[:, 0]), images.subset(torch.nonzero(held_out)[:, 0])


def held_out_places(samples: int, fraction: float, *, seed: int, client: int) -> Tensor:
    """Return which of a client's samples it holds out: bool [samples], as ``split_held_out`` says."""
    held_out = torch.zeros(samples, dtype=torch.bool)
    count = min(int(fraction * samples), samples - 1)
    if count > 0:
        order = torch.randperm(samples, generator=torch_stream(seed, "held-out", client))
        held_out[order[:count]] = True
    return held_out
