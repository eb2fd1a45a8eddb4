"""What an attack is given: what crossed, and what the server knows beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.huscf.crossing import SEGMENTS, TAKEN_BLOCKS, HuSCFOrder
from huscf_flwr.models import (
    Blocks,
    BlockStates,
    Cut,
    ModelSpec,
    NetworkName,
    build_blocks,
    head_indices,
    initial_states,
    model_spec_of,
    tail_indices,
    unflatten_blocks,
)
from huscf_flwr.process import dtype_of
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.session import Direction, Exchange


@dataclass(frozen=True)
class ServerView:
    """One client of HuSCF-GAN in one round, as a server sees it that follows the protocol and is curious.

    It knows the settings, and with which weights the client began: it has sent them.
    """

    config: RunConfig
    transcript: Transcript

    @cached_property
    def spec(self) -> ModelSpec:
        """The networks."""
        return model_spec_of(self.config)

    @property
    def cut(self) -> Cut:
        """Where the client's networks are cut."""
        assert isinstance(self.transcript.order.facts, HuSCFOrder)
        return Cut(*self.transcript.order.facts.cut)

    @cached_property
    def sent(self) -> BlockStates:
        """The blocks that the client began the round with."""
        tensors = self.transcript.order.tensors
        blocks = {**tensors.get(SEGMENTS, {}), **tensors.get(TAKEN_BLOCKS, {})}
        if blocks:
            return unflatten_blocks(blocks)
        return initial_states(self.spec, seed=self.config.seed, dtype=dtype_of(self.config))

    @cached_property
    def uploaded(self) -> BlockStates:
        """The blocks that the client sent at the end of the round; empty if it dropped out."""
        upload = self.transcript.upload
        return {} if upload is None else unflatten_blocks(upload.tensors[SEGMENTS])

    def head(self, network: NetworkName) -> Blocks:
        """Return the client's head of ``network``, as it was at the beginning of the round."""
        return self._blocks(network, head_indices(self.cut, network))

    def tail(self, network: NetworkName) -> Blocks:
        """Return the client's tail of ``network``, as it was at the beginning of the round."""
        return self._blocks(network, tail_indices(self.spec, self.cut, network))

    def saw(self, step: int, exchange: Exchange, direction: Direction) -> tuple[Tensor, ...]:
        """Return the tensors of an exchange, as they crossed."""
        return self.transcript.frames[step][exchange.name, direction]

    def _blocks(self, network: NetworkName, indices: range) -> Blocks:
        blocks = build_blocks(self.spec, network, indices, seed=0)
        blocks.load(self.sent)
        return blocks
