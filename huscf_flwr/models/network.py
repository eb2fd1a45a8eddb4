"""Networks as lists of blocks, whole or in part.

A *block key* names one block of the model: the network, and the index from zero. The state of a set of blocks
(``BlockStates``) is what a client or the server owns, what crosses at the end of a round, and what a
checkpoint holds. Code that uses it need not know how many blocks there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from huscf_flwr.models.blocks import Block
from huscf_flwr.models.initialising import Built, built_from
from huscf_flwr.models.spec import NETWORKS, ModelSpec, NetworkName
from huscf_flwr.seeding import PathPart, torch_stream

CPU = torch.device("cpu")

BlockKey = tuple[NetworkName, int]
"""Network and index, from zero, of one block."""

BlockState = dict[str, Tensor]
BlockStates = dict[BlockKey, BlockState]
"""State (parameters and buffers) of each block of a set."""


def state_on_cpu(module: nn.Module) -> BlockState:
    """Return parameters and buffers by name, on the CPU; live tensors unless the device is another."""
    return {name: tensor.cpu() for name, tensor in module.state_dict().items()}


class Blocks(nn.ModuleDict):
    """Some blocks of one network, in the network's order, addressed by their index in it."""

    def __init__(
        self, network: NetworkName, blocks: Mapping[int, Block], dtype: torch.dtype = torch.float32
    ) -> None:
        """Hold ``blocks`` by index; ``dtype`` is the type of the computation.

        Weights have the same type, except with ``bfloat16``: then weights and the normalisations' statistics
        stay in float32, while main layers and activations run in bfloat16 (automatic mixed precision).
        """
        super().__init__({str(index): blocks[index] for index in sorted(blocks)})
        self.network = network
        self._mixed = dtype == torch.bfloat16
        self.to(dtype=weight_dtype(dtype)).to(memory_format=torch.channels_last)

    def at(self, index: int) -> Block:
        """Return the block at ``index`` of the network."""
        block = self[str(index)]
        assert isinstance(block, Block)
        return block

    def run(self, indices: Iterable[int], inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """Run the blocks at ``indices``, in this order."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self._mixed):
            for index in indices:
                inputs = self.at(index)(inputs, labels)
        return inputs

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """Run all blocks in order."""
        return self.run(map(int, self.keys()), inputs, labels)

    def states(self) -> BlockStates:
        """Return the state of each block on the CPU.

        The tensors share memory with the blocks unless these are on another device.
        """
        return {(self.network, int(index)): state_on_cpu(block) for index, block in self.items()}

    def load(self, states: Mapping[BlockKey, Mapping[str, Tensor]]) -> None:
        """Copy in the state of each block; raises ``KeyError`` if ``states`` lacks one."""
        for index, block in self.items():
            block.load_state_dict(states[self.network, int(index)])


def build_blocks(
    spec: ModelSpec,
    network: NetworkName,
    indices: Iterable[int],
    *,
    seed: int,
    owner: PathPart = "common",
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
) -> Blocks:
    """Build the blocks at ``indices``, with weights drawn from the stream of (seed, owner, block).

    Each block has its own stream. Its weights depend neither on who builds it, nor on the blocks built with
    it, nor on ``device``.
    """
    shapes = spec.shapes(network)
    blocks = {}
    for index in indices:
        make = partial(Block, spec.network(network).blocks[index], shapes[index], spec.classes)
        blocks[index] = built_from(make, torch_stream(seed, "weights", owner, network, index))
    return Blocks(network, blocks, dtype).to(device)


def weight_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the type of the weights if the computation has type ``dtype``."""
    return torch.promote_types(dtype, torch.float32)


def built_for(
    make: Callable[..., Built],
    stream: torch.Generator,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
) -> Built:
    """Return the convolutional network that ``make`` makes, for computations of type ``dtype`` on ``device``.

    ``make`` is told by ``mixed`` whether its layers run in bfloat16. The weights are drawn in float32 from
    ``stream``, a generator on the CPU, as ``initialise`` does.
    """
    network = built_from(partial(make, mixed=dtype == torch.bfloat16), stream)
    return network.to(memory_format=torch.channels_last).to(device, weight_dtype(dtype))


def build_network(
    spec: ModelSpec, network: NetworkName, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Blocks:
    """Build the whole network called ``network``."""
    indices = range(len(spec.network(network).blocks))
    return build_blocks(spec, network, indices, seed=seed, dtype=dtype)


def all_block_keys(spec: ModelSpec) -> Iterator[BlockKey]:
    """Yield the key of every block of the model."""
    for network in NETWORKS:
        for index in range(len(spec.network(network).blocks)):
            yield network, index


_NETWORK_NAMES: dict[str, NetworkName] = {name: name for name in NETWORKS}


def flatten_blocks(blocks: BlockStates, prefix: str = "") -> dict[str, Tensor]:
    """Name every tensor ``<prefix><network>.<block>.<entry>``."""
    return {
        f"{prefix}{network}.{index}.{entry}": tensor
        for (network, index), state in blocks.items()
        for entry, tensor in state.items()
    }


def unflatten_blocks(tensors: Mapping[str, Tensor], prefix: str = "") -> BlockStates:
    """Return the blocks whose tensors' names start with ``prefix``; the inverse of ``flatten_blocks``."""
    blocks: BlockStates = {}
    for name, tensor in tensors.items():
        if not name.startswith(prefix):
            continue
        network, index, entry = name.removeprefix(prefix).split(".", 2)
        blocks.setdefault((_NETWORK_NAMES[network], int(index)), {})[entry] = tensor
    return blocks


def initial_states(spec: ModelSpec, *, seed: int, dtype: torch.dtype) -> BlockStates:
    """Return the initial weights of both networks that all clients share with a common initialisation."""
    states: BlockStates = {}
    for network in NETWORKS:
        indices = range(len(spec.network(network).blocks))
        states.update(build_blocks(spec, network, indices, seed=seed, dtype=dtype).states())
    return states
