"""What one side owns of both networks: some blocks, and the optimisers that train them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.models import CPU, BlockKey, Blocks, BlockStates, ModelSpec, NetworkName, build_blocks
from huscf_flwr.models.optimisers import MOMENTS, Adam
from huscf_flwr.seeding import PathPart


@dataclass(frozen=True, kw_only=True)
class AdamSettings:
    """Settings of Adam; the defaults are the authors' (configs.yaml)."""

    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999


def adam_settings(config: RunConfig) -> AdamSettings:
    """Return the optimiser's settings of a run."""
    section = config.optimiser
    return AdamSettings(learning_rate=section.learning_rate, beta1=section.beta1, beta2=section.beta2)


class TrainedBlocks:
    """Blocks of one network with their Adam, whose state is addressed by block and parameter.

    The moments outlive the round and sometimes the process: clients keep theirs in a file of their own, the
    server keeps its in the checkpoint. Addressed by name, a block can change hands together with them. Of a
    network that the other side has whole there are no blocks, and nothing to step.
    """

    def __init__(self, blocks: Blocks, adam: AdamSettings) -> None:
        self.blocks = blocks
        self._trained = [parameter for parameter in blocks.parameters() if parameter.requires_grad]
        betas = (adam.beta1, adam.beta2)
        self._optimiser = Adam(self._trained, adam.learning_rate, betas) if self._trained else None

    def apply_gradients(self) -> None:
        """Step with the gradients gathered so far, and forget them."""
        if self._optimiser is not None:
            self._optimiser.step()
            self._optimiser.zero_grad()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let gradients pass through the blocks without computing those of their weights."""
        self._require_gradients(False)
        try:
            yield
        finally:
            self._require_gradients(True)

    def _require_gradients(self, required: bool) -> None:
        for parameter in self._trained:
            parameter.requires_grad_(required)

    def moments(self) -> dict[str, Tensor]:
        """Return step count and moments as ``<network>.<block>.<parameter>.<moment>``, on the CPU.

        They are live tensors, unless the blocks are on another device.
        """
        kept = {} if self._optimiser is None else self._optimiser.state
        return {
            f"{self.blocks.network}.{name}.{moment}": kept[parameter][moment].cpu()
            for name, parameter in self.blocks.named_parameters()
            if parameter in kept
            for moment in MOMENTS
        }

    def forget_moments(self) -> None:
        """Forget the moments of all parameters."""
        if self._optimiser is not None:
            self._optimiser.state.clear()

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Take over the moments that are given; those of other parameters stay as they are."""
        if self._optimiser is None:
            return
        for name, parameter in self.blocks.named_parameters():
            prefix = f"{self.blocks.network}.{name}."
            if f"{prefix}step" not in moments:
                continue
            state = self._optimiser.state[parameter]
            state.setdefault("step", torch.zeros((), device=parameter.device))
            for moment in MOMENTS:
                # In place: a recorded step goes on with the tensors that it knows.
                state.setdefault(moment, torch.empty_like(parameter)).copy_(moments[prefix + moment])


class Segments:
    """One side's blocks of the generator and of the discriminator."""

    def __init__(
        self,
        spec: ModelSpec,
        keys: Collection[BlockKey],
        *,
        seed: int,
        owner: PathPart = "common",
        adam: AdamSettings | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ) -> None:
        """Build the blocks named by ``keys``, their weights drawn from the streams of ``owner``."""
        self.device = device

        def build(network: NetworkName) -> TrainedBlocks:
            indices = sorted(index for name, index in keys if name == network)
            blocks = build_blocks(spec, network, indices, seed=seed, owner=owner, dtype=dtype, device=device)
            return TrainedBlocks(blocks, adam or AdamSettings())

        self.generator = build("generator")
        self.discriminator = build("discriminator")

    def network(self, name: NetworkName) -> TrainedBlocks:
        """Return the blocks of the network called ``name``."""
        return self.generator if name == "generator" else self.discriminator

    def states(self) -> BlockStates:
        """Return the state of all blocks on the CPU, live tensors unless the device is another."""
        return {**self.generator.blocks.states(), **self.discriminator.blocks.states()}

    def load(self, states: BlockStates) -> None:
        """Copy in the state of all blocks; moments stay as they are."""
        self.generator.blocks.load(states)
        self.discriminator.blocks.load(states)

    def moments(self) -> dict[str, Tensor]:
        """Return the moments of both optimisers by parameter name; see ``TrainedBlocks.moments``."""
        return {**self.generator.moments(), **self.discriminator.moments()}

    def forget_moments(self) -> None:
        """Forget the moments of both optimisers."""
        self.generator.forget_moments()
        self.discriminator.forget_moments()

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Take over saved moments; those of other parameters stay as they are."""
        self.generator.load_moments(moments)
        self.discriminator.load_moments(moments)
