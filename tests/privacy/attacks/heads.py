"""Heads of a discriminator with weights at random, and batches that they were given."""

from functools import cache

import torch

from huscf_flwr.models import build_blocks
from huscf_flwr.models.spec import load_model_spec
from huscf_flwr.seeding import torch_stream
from tests.run.builders import DOMAINS, striped_images


@cache
def quarter():
    """The demo's networks."""
    return load_model_spec("authors-28", 0.25)


def head(blocks=1, spec=None, seed=0):
    """The first blocks of a discriminator."""
    return build_blocks(spec or quarter(), "discriminator", range(blocks), seed=seed)


def batch(count=12, seed=0):
    """Striped images [B, 1, 28, 28] from -1 to 1 with labels at random."""
    images = striped_images(DOMAINS[0], 3)
    chosen = torch.randperm(len(images), generator=torch_stream(seed, "batch"))[:count]
    return images.images[chosen].float() / 127.5 - 1, images.labels[chosen]


def output(blocks, images, labels):
    """What a head makes of a batch."""
    with torch.no_grad():
        return blocks(images, labels)


def shape_of_images(spec=None):
    return (spec or quarter()).shapes("discriminator")[0]
