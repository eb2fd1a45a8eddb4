"""What an attack is given: what crossed, and what the server knows beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from huscf_flwr.config import FakeLabels
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.huscf.crossing import SEGMENTS, TAKEN_BLOCKS, HuSCFOrder
from huscf_flwr.models import (
    Blocks,
    BlockStates,
    Cut,
    ModelSpec,
    NetworkName,
    Shape,
    build_blocks,
    has_local_discriminator,
    head_indices,
    tail_indices,
    unflatten_blocks,
)
from huscf_flwr.privacy.attacks.prior import Obscured
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.session import Direction, Exchange


def cut_of(order: Order) -> Cut:
    """Return the cut that a client of HuSCF-GAN is told."""
    assert isinstance(order.facts, HuSCFOrder)
    return Cut(*order.facts.cut)


def cut_or_none(order: Order) -> Cut | None:
    """Return the cut that a client is told, if its method has cuts."""
    return cut_of(order) if isinstance(order.facts, HuSCFOrder) else None


def cut_name(cut: Cut) -> str:
    """Return how a cut is written, as in ``1-1-2-1``."""
    return "-".join(map(str, cut))


@dataclass(frozen=True)
class ServerView:
    """One client of HuSCF-GAN in one round, as a server sees it that follows the protocol and is curious.

    It knows the networks, where the labels of fakes come from, and with which weights the client began.
    """

    spec: ModelSpec
    fake_labels: FakeLabels
    """The setting: where the labels of a step's fakes come from."""
    initial: Callable[[], BlockStates]
    """Returns with what all clients began, which counts if the client has been sent nothing since."""
    transcript: Transcript
    obscured: Obscured | None = None
    """How activations of real images were clipped or noised, and what images are like in general."""

    @property
    def cut(self) -> Cut:
        """Where the client's networks are cut."""
        return cut_of(self.transcript.order)

    @property
    def fakes_have_real_labels(self) -> bool:
        """Whether the fakes of a step have the labels of its real batch."""
        return self.fake_labels == "real"

    @property
    def fakes_have_absent_labels(self) -> bool:
        """Whether fakes have labels too that the client has no image of."""
        return self.fake_labels == "uniform"

    @property
    def has_real_activations(self) -> bool:
        """Whether activations of real images crossed: none do from a client with the whole discriminator."""
        return not has_local_discriminator(self.spec, self.cut)

    @property
    def image_shape(self) -> Shape:
        """Of one image."""
        return self.spec.shapes("discriminator")[0]

    @cached_property
    def sent(self) -> BlockStates:
        """The blocks that the client began the round with."""
        tensors = self.transcript.order.tensors
        blocks = {**tensors.get(SEGMENTS, {}), **tensors.get(TAKEN_BLOCKS, {})}
        return unflatten_blocks(blocks) if blocks else self.initial()

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
