"""The two networks: their spec, their blocks, and where they may be cut."""

from huscf_flwr.models.cut import (
    Cut,
    body_block_keys,
    body_indices,
    check_cut,
    client_block_keys,
    head_indices,
    largest_cut,
    legal_cuts,
    tail_indices,
)
from huscf_flwr.models.network import (
    CPU,
    BlockKey,
    Blocks,
    BlockState,
    BlockStates,
    all_block_keys,
    build_blocks,
    build_network,
    weight_dtype,
)
from huscf_flwr.models.spec import NETWORKS, ModelSpec, NetworkName, Shape, load_model_spec

__all__ = [
    "CPU",
    "NETWORKS",
    "BlockKey",
    "BlockState",
    "BlockStates",
    "Blocks",
    "Cut",
    "ModelSpec",
    "NetworkName",
    "Shape",
    "all_block_keys",
    "body_block_keys",
    "body_indices",
    "build_blocks",
    "build_network",
    "check_cut",
    "client_block_keys",
    "head_indices",
    "largest_cut",
    "legal_cuts",
    "load_model_spec",
    "tail_indices",
    "weight_dtype",
]
