"""A client's critic learns to tell its images from drawn ones, so that the decoder learns to draw sharply."""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.fedvtc import losses
from huscf_flwr.models import model_spec_of
from huscf_flwr.models.critics import Critic, build_critic
from huscf_flwr.models.optimisers import Adam
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream


def initial_critic(config: RunConfig, client: int) -> Critic:
    """Return the critic of a client as it is before its first training."""
    spec = model_spec_of(config)
    return build_critic(
        spec.image,
        spec.classes,
        torch_stream(config.seed, "critic", client),
        dtype=dtype_of(config),
        device=device_of(config.compute),
    )


class Adversary:
    """Trains a critic, in one round. The critic never leaves the client; its mean losses do, as all losses.

    Args:
        critic: is trained in place.
        learning_rate: of Adam, which begins anew in every round.
    """

    def __init__(self, critic: Critic, learning_rate: float) -> None:
        self._critic = critic
        self._optimiser = Adam(critic.parameters(), learning_rate, betas=(0.5, 0.999))

    def train(self, images: Tensor, drawn: Tensor, labels: Tensor) -> Tensor:
        """Take a step on a client's ``images`` and ``drawn`` ones [B, C, H, W] of the same ``labels`` [B].

        Returns the loss, without gradients.
        """
        real, false = self._critic(images, labels), self._critic(drawn.detach(), labels)
        loss = losses.hinge(real, false)
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        self._optimiser.step()
        return loss.detach()

    def loss_of(self, drawn: Tensor, labels: Tensor) -> Tensor:
        """Return what a decoder makes smaller by drawing what the critic takes for real.

        Gradients reach the images alone.
        """
        self._critic.requires_grad_(False)
        verdicts: Tensor = self._critic(drawn, labels)
        self._critic.requires_grad_(True)
        return -verdicts.mean()
