"""A client that has a whole discriminator, and shows its images to nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.methods.contract import LockStepClient, Tensors
from huscf_flwr.methods.server_generator.exchanges import Fakes
from huscf_flwr.models import build_blocks, flatten_blocks, model_spec_of, unflatten_blocks
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import PathPart
from huscf_flwr.session import Computed
from huscf_flwr.split import adam_settings, adversarial_loss
from huscf_flwr.split.local_discriminator import learn
from huscf_flwr.split.segments import TrainedBlocks

_OWN = "own."


class DiscriminatorClient(LockStepClient):
    """A discriminator with its optimiser, and the batches of a round; a subclass says what crosses.

    Its ``begin`` calls ``begin_round``. The moments of the optimiser never leave the client.
    """

    losses: ClassVar[tuple[str, ...]] = ("discriminator",)

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._discriminator: TrainedBlocks | None = None
        self._batches: RoundBatches | None = None

    @property
    def initial_weights_of(self) -> PathPart:
        """Names the stream of the initial weights: the same weights for all clients, or its own."""
        return "common"

    @property
    def discriminator(self) -> TrainedBlocks:
        """The discriminator; built when it is first needed."""
        if self._discriminator is None:
            spec = model_spec_of(self.config)
            blocks = build_blocks(
                spec,
                "discriminator",
                range(len(spec.discriminator.blocks)),
                seed=self.config.seed,
                owner=self.initial_weights_of,
                dtype=dtype_of(self.config),
                device=self.device,
            )
            self._discriminator = TrainedBlocks(blocks, adam_settings(self.config))
        return self._discriminator

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self.config.compute)

    def begin_round(self, number: int) -> None:
        """Begin a new pass over the images, for round ``number``."""
        # Latent vectors are drawn on the server, so a client's have no numbers.
        self._batches = RoundBatches(self.images, self.config, latent=0, client=self.client, number=number)

    def learn(self, fakes: Fakes) -> Tensor:
        """Take one step on ``fakes`` and the next batch of real images; return the loss, a scalar.

        It is the mean cross entropy of the fakes against 0 plus that of the real images against 1.
        """
        if self._batches is None:
            raise RuntimeError(f"client {self.client} has not begun a round")
        batch, fakes = self._batches.next().to(self.device), fakes.to(self.device)
        return learn(self.discriminator, fakes.images, replace(batch, drawn_labels=fakes.labels))

    def judge(self, fakes: Fakes) -> tuple[Tensor, Tensor]:
        """Return the images of ``fakes`` as a leaf, and their logits [B], by weights that get no gradient."""
        received = fakes.to(self.device)
        images = received.images.detach().requires_grad_()
        with self.discriminator.frozen():
            return images, self.discriminator.blocks(images, received.labels).flatten()

    def states(self) -> Tensors:
        """Return the flattened blocks of the discriminator; they may be live."""
        return flatten_blocks(self.discriminator.blocks.states())

    def take(self, discriminator: Tensors) -> None:
        """Go on with another discriminator, given as ``states`` returns it; moments stay as they are."""
        self.discriminator.blocks.load(unflatten_blocks(discriminator))

    def private(self) -> Tensors:
        """Return the discriminator and the moments of its optimiser."""
        own = flatten_blocks(self.discriminator.blocks.states(), _OWN)
        return {**own, **self.discriminator.moments()}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the client starts anew."""
        if tensors:
            self.discriminator.blocks.load(unflatten_blocks(tensors, _OWN))
            self.discriminator.load_moments(tensors)


class CriticClient(DiscriminatorClient):
    """A client that computes the generator's loss itself, by its own discriminator alone."""

    losses: ClassVar[tuple[str, ...]] = ("discriminator", "generator")

    def criticise(self, learnt: Fakes, judged: Fakes) -> Computed:
        """Learn from one batch, and then return the gradient of the generator's loss at the other's images.

        That loss is the mean cross entropy of the judged fakes against 1, by the discriminator as it is after
        its step: the non-saturating one.
        """
        discriminator_loss = self.learn(learnt)
        images, logits = self.judge(judged)
        loss = adversarial_loss(logits, 1.0)
        (gradient,) = torch.autograd.grad(loss, images)
        return Computed((gradient,), {"discriminator": discriminator_loss, "generator": loss.detach()})
