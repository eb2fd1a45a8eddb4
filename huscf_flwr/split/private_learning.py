"""How a local discriminator learns from images without telling more of any of them than was agreed.

Each step takes a Poisson sample of the images; the gradient of each image's loss is clipped, and noise is
added to their sum (arXiv 1607.00133, algorithm 1). Fakes depend on images only through what was noised
before. So their gradient needs no noise, as long as no fake shares the statistics of a batch with an image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from huscf_flwr.accounting.secret_noise import KeyedStream
from huscf_flwr.models.per_sample import Gradients, clipped_sum
from huscf_flwr.split.batch import Batch
from huscf_flwr.split.local_discriminator import Watch, adversarial_loss
from huscf_flwr.split.segments import TrainedBlocks


@dataclass(frozen=True, kw_only=True)
class PrivateSteps:
    """How the steps are taken whose privacy is counted."""

    sampling_rate: float
    """Probability with which an image takes part in a step."""
    noise_multiplier: float
    """Standard deviation of the noise over the clip."""
    clip: float
    """Largest norm of one image's gradient."""
    each_time: int = 1
    """Steps of the discriminator in each step of the generator."""


class PrivateLearning:
    """A ``Learn`` that takes its own samples of the images, and leaves those of the batch aside."""

    def __init__(
        self,
        count: int,
        samples: Callable[[Tensor], tuple[Tensor, Tensor]],
        steps: PrivateSteps,
        stream: KeyedStream,
    ) -> None:
        """Learn from ``count`` images.

        ``samples`` gives those at some places, int64 [M]: images [M, channels, size, size] from -1 to 1, and
        labels [M]. ``stream`` decides who takes part, and gives the noise.
        """
        self._count, self._samples, self._steps, self._stream = count, samples, steps, stream

    def __call__(
        self, discriminator: TrainedBlocks, fakes: Tensor, batch: Batch, watch: Watch | None = None
    ) -> None:
        """Take the steps, each on the same ``fakes`` and on a sample of the images; tell no loss.

        Raises ``ValueError`` if somebody is to ``watch``: what would be seen has no noise.
        """
        if watch is not None:
            raise ValueError("activations of images that are learnt from privately are not to be watched")
        for _ in range(self._steps.each_time):
            noised = self._noised(discriminator)
            loss = adversarial_loss(discriminator.blocks(fakes, batch.fake_labels), 0.0)
            torch.autograd.backward(loss)
            # Clipped gradients of images would have no weight beside those of fakes, which can be far longer.
            nn.utils.clip_grad_norm_(discriminator.blocks.parameters(), self._steps.clip)
            for name, parameter in discriminator.blocks.named_parameters():
                if name in noised:
                    assert parameter.grad is not None
                    parameter.grad += noised[name]
            discriminator.apply_gradients()

    def _noised(self, discriminator: TrainedBlocks) -> Gradients:
        """Return the noised sum over a sample of the images, over the number that is expected in one.

        The true number would tell who takes part, and may be zero.
        """
        steps = self._steps
        images, labels = self._samples(self._stream.chosen(self._count, steps.sampling_rate))
        loss = partial(adversarial_loss, target=1.0)
        total = clipped_sum(discriminator.blocks, images, labels, loss, steps.clip)
        expected = steps.sampling_rate * self._count
        deviation = steps.noise_multiplier * steps.clip
        return {
            name: (each + self._stream.normal_like(each, deviation)) / expected
            for name, each in total.items()
        }
