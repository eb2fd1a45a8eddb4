"""The batches of one client in one round of adversarial training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import BatchSampler, FreshDraw, LabelledImages, ShuffledPasses, normalise
from huscf_flwr.methods.crossing import Description
from huscf_flwr.models import model_spec_of, weight_dtype
from huscf_flwr.process import dtype_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.split import Batch


def largest_epoch(described: Mapping[int, Description], clients: Iterable[int], config: RunConfig) -> int:
    """Return the batches of an epoch of the largest of ``clients``, which have ``described`` themselves."""
    return math.ceil(max(described[client].samples for client in clients) / config.batch_size)


class RoundBatches:
    """An endless stream of batches: the client's images and labels, with latent vectors and fakes' labels.

    Every draw comes from a stream of its own, named by seed, client and round, so that nothing depends on
    which host the client lives on or who else is there. A round begins a new pass over the images.
    """

    def __init__(
        self,
        images: LabelledImages,
        config: RunConfig,
        *,
        latent: int,
        client: int,
        number: int,
        batch_size: int | None = None,
        sampler: type[ShuffledPasses] | type[FreshDraw] | None = ShuffledPasses,
    ) -> None:
        """Begin round ``number``; latent vectors have ``latent`` numbers each.

        A batch has ``batch_size`` images; the configured number, if nothing else is said. Without a
        ``sampler`` it has so many fakes and no image: whoever learns from images draws them elsewhere.
        """
        self._images = images
        self._latent = latent
        self._dtype = weight_dtype(dtype_of(config))
        self._size = batch_size or config.batch_size
        order = torch_stream(config.seed, "order", client, number)
        self._sampler: BatchSampler | None = None
        if sampler is not None:
            self._sampler = sampler(len(images), self._size, order)
        self._latents = torch_stream(config.seed, "latents", client, number)
        self._drawn_labels = torch_stream(config.seed, "fake labels", client, number)
        self._fake_labels = config.fake_labels
        self._classes = model_spec_of(config).classes

    def next(self) -> Batch:
        """Draw the next batch."""
        chosen = self._images.none if self._sampler is None else self._images.subset(self._sampler.next())
        count = self._size if self._sampler is None else len(chosen)
        return Batch(
            images=normalise(chosen.images, self._dtype),
            labels=chosen.labels,
            latents=torch.randn(count, self._latent, generator=self._latents, dtype=self._dtype),
            drawn_labels=self._labels_apart(count),
        )

    def _labels_apart(self, count: int) -> Tensor | None:
        """Draw ``count`` labels for fakes, or return None if theirs are those of the images."""
        if self._fake_labels == "real":
            return None
        if self._fake_labels == "uniform":
            return torch.randint(self._classes, (count,), generator=self._drawn_labels)
        own = torch.randint(len(self._images), (count,), generator=self._drawn_labels)
        return self._images.labels[own]
