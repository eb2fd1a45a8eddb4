"""The whole generator, with its optimiser, on the server."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.crossing import Tensors
from huscf_flwr.methods.generators import measured_generator
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.server_generator.exchanges import Fakes
from huscf_flwr.models import build_blocks, flatten_blocks, model_spec_of, unflatten_blocks, weight_dtype
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.split import adam_settings
from huscf_flwr.split.segments import TrainedBlocks

_WEIGHTS, _MOMENTS = "weights/", "moments/"


class ServerGenerator:
    """Draws labelled images, and learns from gradients at them."""

    def __init__(self, config: RunConfig) -> None:
        """Build the network, with the initial weights of all methods in which these are common."""
        self.config = config
        self.spec = model_spec_of(config)
        self.dtype = dtype_of(config)
        self.device = device_of(config.compute)
        indices = range(len(self.spec.generator.blocks))
        blocks = build_blocks(
            self.spec, "generator", indices, seed=config.seed, dtype=self.dtype, device=self.device
        )
        self._trained = TrainedBlocks(blocks, adam_settings(config))
        self._measured: Tensors | None = None

    def draw(self, stream: torch.Generator, classes: Tensor) -> Fakes:
        """Draw ``batch_size`` images from ``stream``, with the way back to the weights.

        Their labels are drawn first, uniformly from ``classes`` [K], int64; then latent vectors, from the
        standard normal distribution. Both are on the CPU, so that a device changes no draw.
        """
        count = self.config.batch_size
        labels = classes[torch.randint(len(classes), (count,), generator=stream)]
        latents = torch.randn(count, self.spec.latent, generator=stream, dtype=weight_dtype(self.dtype))
        labels = labels.to(self.device)
        images = self._trained.blocks(latents.to(self.device), labels)
        return Fakes(images.to(self.dtype), labels)

    def learn(self, feedback: Sequence[tuple[Fakes, Tensor]]) -> None:
        """Take one step of Adam.

        Args:
            feedback: batches that were drawn since the last step, each once, and the gradient of the loss at
                its images [B, channels, size, size]. Without any, nothing is done.
        """
        if not feedback:
            return
        self._measured = None
        torch.autograd.backward(
            [fakes.images for fakes, _ in feedback],
            [gradient.to(fakes.images) for fakes, gradient in feedback],
        )
        self._trained.apply_gradients()

    def product(self) -> Tensors:
        """Return the flattened blocks with running statistics measured anew: see ``measured_generator``."""
        if self._measured is None:
            states = self._trained.blocks.states()
            self._measured = flatten_blocks(measured_generator(self.config, states))
        return self._measured

    def tensors(self) -> Tensors:
        """Return weights and moments by name; they may be live."""
        weights = flatten_blocks(self._trained.blocks.states(), _WEIGHTS)
        return {**weights, **with_prefix(_MOMENTS, self._trained.moments())}

    def load(self, tensors: Tensors) -> None:
        """Go on from what ``tensors`` returned; other tensors may be among them."""
        self._measured = None
        self._trained.blocks.load(unflatten_blocks(tensors, _WEIGHTS))
        self._trained.forget_moments()
        self._trained.load_moments(below_prefix(_MOMENTS, tensors))
