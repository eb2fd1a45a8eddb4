"""HuSCF-GAN's client: its images, its segments, and the order in which it takes its batches."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import FreshDraw, LabelledImages, ShuffledPasses
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.methods.contract import LockStepClient, Order, Tensors, Upload
from huscf_flwr.methods.huscf.crossing import (
    SEGMENTS,
    TAKEN_BLOCKS,
    TAKEN_MOMENTS,
    HuSCFOrder,
)
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.methods.label_counts import LabelCounts, counted
from huscf_flwr.models import Cut, flatten_blocks, model_spec_of, unflatten_blocks
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.session import ClientStep
from huscf_flwr.split import (
    Batch,
    SplitClient,
    TamperingDetector,
    Watch,
    adam_settings,
    obfuscation,
)
from huscf_flwr.split.local_discriminator import criticise, learn
from huscf_flwr.split.segments import TrainedBlocks

_SAMPLERS: dict[str, type[ShuffledPasses] | type[FreshDraw]] = {
    "passes": ShuffledPasses,
    "fresh-draw": FreshDraw,
}


class HuSCFClient(LockStepClient):
    """A client's segments, and its batches of a round."""

    losses: ClassVar[tuple[str, ...]] = ("discriminator", "generator")
    may_record: ClassVar = True
    """Whether a GPU may replay a step as it was."""

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._private_tensors: Tensors = {}
        self._split: SplitClient | None = None
        self._batches: RoundBatches | None = None
        self._detector = TamperingDetector() if config.privacy.detect_tampering else None

    @property
    def split(self) -> SplitClient:
        """The segments of the last order; raises ``RuntimeError`` before the first."""
        if self._split is None:
            raise RuntimeError(f"client {self.client} has not begun a round")
        return self._split

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.split.device

    def begin(self, number: int, order: Order) -> None:
        """Take the order's blocks over, and begin a new pass over the images.

        Without blocks its weights stay as they are, as in a first round from weights of its own.
        """
        assert isinstance(order.facts, HuSCFOrder)
        cut = Cut(*order.facts.cut)
        if self._split is None or self._split.cut != cut:
            self._split = self._with_cut(cut)
            self._private_tensors = {}
        segments = self._split.segments
        blocks = {**order.tensors.get(SEGMENTS, {}), **order.tensors.get(TAKEN_BLOCKS, {})}
        if SEGMENTS in order.tensors:
            segments.load(unflatten_blocks(blocks))
        segments.load_moments(order.tensors.get(TAKEN_MOMENTS, {}))
        self._batches = self.round_batches(number)
        if self._detector is not None:
            alone = SEGMENTS not in order.tensors and self._has_own_weights
            self._detector.begin(number, segments.states(), alone=alone)

    def refuses(self) -> bool:
        """Return whether blocks or gradients of this round are odd."""
        return self._detector is not None and self._detector.found is not None

    def step(self) -> ClientStep:
        """Return the step on the next batch; see ``SplitClient.step``."""
        return self.split.hosted_step(self.next_batch())

    def next_batch(self) -> Batch:
        """Return the next batch of the round; raises ``RuntimeError`` before the first round."""
        if self._batches is None:
            raise RuntimeError(f"client {self.client} has not begun a round")
        return self._batches.next()

    def round_batches(self, number: int) -> RoundBatches:
        """Return the batches of round ``number``."""
        return round_batches(self.client, self.images, self.config, number)

    def learn(
        self, discriminator: TrainedBlocks, fakes: Tensor, batch: Batch, watch: Watch | None = None
    ) -> Tensor | None:
        """Let a local discriminator learn in a step: see ``Learn``."""
        return learn(discriminator, fakes, batch, watch)

    def criticise(self, discriminator: TrainedBlocks, fakes: Tensor, labels: Tensor) -> Tensor:
        """Tell fakes what is wrong with them, after a local discriminator has learnt: see ``Criticise``."""
        return criticise(discriminator, fakes, labels)

    def upload(self) -> Upload:
        """Return the blocks that it keeps."""
        states = self.split.segments.states()
        if self._detector is not None:
            self._detector.end(states)
        return Upload(tensors={SEGMENTS: flatten_blocks(states)})

    def private(self) -> Tensors:
        """Return the moments of its optimisers, and the blocks to compare the next ones with, if it does."""
        if self._split is None:
            return self._private_tensors
        remembered = {} if self._detector is None else self._detector.blocks.tensors()
        return {**self._split.segments.moments(), **remembered}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with these moments; those of blocks that it does not keep any more are left out."""
        self._private_tensors = tensors
        if self._detector is not None:
            self._detector.blocks.load(tensors)

    @property
    def _has_own_weights(self) -> bool:
        return self.config.settings(HuSCFSettings).initialisation == "per-client"

    def _with_cut(self, cut: Cut) -> SplitClient:
        """Return segments of ``cut`` that go on with the moments so far."""
        privacy = self.config.privacy
        split = SplitClient(
            self.client,
            model_spec_of(self.config),
            cut,
            seed=self.config.seed,
            owner=self.client if self._has_own_weights else "common",
            adam=adam_settings(self.config),
            dtype=dtype_of(self.config),
            device=device_of(self.config.compute),
            obscure=obfuscation(privacy.activation_clip, privacy.activation_noise),
            detector=self._detector,
            learn=self.learn,
            criticise=self.criticise,
            may_record=self.may_record,
        )
        split.segments.load_moments(self.private())
        return split


def round_batches(client: int, images: LabelledImages, config: RunConfig, number: int) -> RoundBatches:
    """Return the batches of a client in round ``number``, the same whenever they are drawn."""
    return RoundBatches(
        images,
        config,
        latent=model_spec_of(config).latent,
        client=client,
        number=number,
        sampler=_SAMPLERS[config.settings(HuSCFSettings).batches],
    )


class HuSCFFromLabelsClient(HuSCFClient):
    """A client that tells how many images of each label it has."""

    def describe(self) -> LabelCounts:
        """Return what the server is told before the first round: the label counts too."""
        return LabelCounts(samples=len(self.images), device=self.profile, counts=counted(self))
