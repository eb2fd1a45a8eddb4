"""Generators as products: how they are judged and exported, and how images are drawn from them."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.crossing import Tensors
from huscf_flwr.models import (
    BlockStates,
    Sampler,
    model_spec_of,
    sampler_of,
    unflatten_blocks,
    with_measured_statistics,
)
from huscf_flwr.process import device_of, dtype_of


def drawing_from(config: RunConfig, product: Tensors) -> Sampler:
    """Return what draws labelled images from the flattened blocks of a generator."""
    states, device = unflatten_blocks(product), device_of(config.compute)
    return sampler_of(model_spec_of(config), states, dtype_of(config), device)


def measured_generator(config: RunConfig, networks: BlockStates) -> BlockStates:
    """Return the generator of ``networks`` with its running statistics measured anew.

    They are measured on latent vectors and labels that are drawn, since averaged ones do not fit averaged
    weights; generators that were never averaged are treated alike, so that all are judged alike.
    """
    dtype, device = dtype_of(config), device_of(config.compute)
    spec = model_spec_of(config)
    return with_measured_statistics(spec, generator_in(networks), dtype, device, seed=config.seed)


def generator_in(networks: BlockStates) -> BlockStates:
    """Return the blocks of the generator among those of both networks."""
    return {key: state for key, state in networks.items() if key[0] == "generator"}
