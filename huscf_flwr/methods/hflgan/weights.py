"""The weights that the global generator starts with."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.models import Blocks, build_blocks, model_spec_of
from huscf_flwr.process import dtype_of


def initial_global_generator(config: RunConfig) -> Blocks:
    """Return the generator that all clients start with: not the local one, so that the two can differ."""
    spec = model_spec_of(config)
    indices = range(len(spec.generator.blocks))
    return build_blocks(
        spec, "generator", indices, seed=config.seed, owner="global generator", dtype=dtype_of(config)
    )
