"""What HuSCF-GAN's server remembers from round to round, as a checkpoint has it."""

from __future__ import annotations

from torch import Tensor

from huscf_flwr.methods.contract import State
from huscf_flwr.methods.huscf.cluster_memory import ClusterMemory
from huscf_flwr.methods.huscf.cluster_models import ClusterModels
from huscf_flwr.methods.huscf.cut_plan import CutPlan
from huscf_flwr.methods.named_tensors import below_prefix
from huscf_flwr.models import flatten_blocks, unflatten_blocks
from huscf_flwr.split import SplitExecutor

_COMMON_BODY, _COMMON_BLOCKS = "common/body/", "common/blocks/"


def state_of(cuts: CutPlan, bodies: SplitExecutor, models: ClusterModels, memory: ClusterMemory) -> State:
    """Return clusters, cuts, bodies with their optimisers' moments, and every cluster's blocks.

    As long as some clients are not settled in a cluster, what they begin with is there too. The tensors may
    be live.
    """
    tensors: dict[str, Tensor] = {}
    for name, segments in bodies.bodies.items():
        place = _place(name, bodies.parted)
        tensors |= flatten_blocks(segments.states(), f"{place}body/")
        tensors |= {f"{place}moments/{moment}": value for moment, value in segments.moments().items()}
    for cluster, blocks in models.blocks.items():
        tensors |= flatten_blocks(blocks, f"cluster-{cluster}/blocks/")
    if models.common is not None:
        tensors |= flatten_blocks(models.common, _COMMON_BLOCKS)
    if bodies.common is not None:
        tensors |= flatten_blocks(bodies.common.states(), _COMMON_BODY)
    remembered = memory.state()
    facts = {
        **cuts.state(),
        **remembered.facts,
        "clusters": {str(client): cluster for client, cluster in models.of_client.items()},
        "undecided": sorted(models.undecided),
        "cluster_names": models.names,
        "parted": bodies.parted,
    }
    return State(facts, {**tensors, **remembered.tensors})


def load_state(
    state: State, cuts: CutPlan, bodies: SplitExecutor, models: ClusterModels, memory: ClusterMemory
) -> None:
    """Go on from what ``state_of`` returned, whatever was there before.

    Raises ``ValueError`` if it is of other clients or cuts.
    """
    facts, tensors, names = state.facts, state.tensors, state.facts["cluster_names"]
    cuts.load(facts)
    memory.load(state)
    clusters = {int(client): cluster for client, cluster in facts["clusters"].items()}
    blocks = {name: unflatten_blocks(tensors, f"cluster-{name}/blocks/") for name in names}
    models.load(clusters, blocks, facts["undecided"])
    models.common = unflatten_blocks(tensors, _COMMON_BLOCKS) or None
    bodies.restore(models.settled if facts["parted"] else {})
    for name, segments in bodies.bodies.items():
        place = _place(name, bodies.parted)
        segments.load(unflatten_blocks(tensors, f"{place}body/"))
        segments.forget_moments()
        segments.load_moments(below_prefix(f"{place}moments/", tensors))
    bodies.common = None
    if common_body := unflatten_blocks(tensors, _COMMON_BODY):
        bodies.keep_common(common_body)


def _place(body: int, parted: bool) -> str:
    """Return how the names of a body's tensors begin: among those of its cluster, if it has one."""
    return f"cluster-{body}/" if parted else ""
