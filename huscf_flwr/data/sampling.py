"""Which samples form a client's next mini-batch.

``ShuffledPasses`` is the usual way to run stochastic gradient descent: all samples in random order, then all
again in another order, as an endless stream. A client with fewer batches than the largest one continues with
its next pass. ``FreshDraw`` does what the authors' code does.

Each gets a generator of its own. A round derives it from (seed, client, round), so every round begins with a
new pass, and no state has to be kept between rounds or to follow a client from host to host.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Generator, Tensor

from huscf_flwr.data.images import DataError


class BatchSampler(Protocol):
    """An endless stream of mini-batches over one client's samples."""

    def next(self) -> Tensor:
        """Return the samples of the next batch: int64 tensor of indices, two or more."""


class ShuffledPasses:
    """A stream of shuffled passes; no sample is repeated within a pass.

    A batch takes up to the batch size from what is left of the pass, so a client with fewer samples than a
    batch gets smaller batches. BatchNorm needs two samples: a single one left over is joined by the first of
    the next pass, and a client's only sample is taken twice.
    """

    def __init__(self, samples: int, batch_size: int, generator: Generator) -> None:
        """Begin with a new pass.

        Args:
            samples: the client's number of samples.
            batch_size: largest number of samples in a batch, at least 2.
            generator: a CPU generator that nothing else draws from.

        Raises:
            DataError: if there is no sample or the batch size is less than 2.
        """
        _check(samples, batch_size)
        self._samples = samples
        self._batch_size = batch_size
        self._generator = generator
        self._left = self._shuffle()

    def next(self) -> Tensor:
        """Return the samples of the next batch: int64 tensor of indices, two or more."""
        if len(self._left) == 0:
            self._left = self._shuffle()
        batch, self._left = self._left[: self._batch_size], self._left[self._batch_size :]
        return batch if len(batch) > 1 else self._join_next_pass(batch)

    def _shuffle(self) -> Tensor:
        return torch.randperm(self._samples, generator=self._generator)

    def _join_next_pass(self, last: Tensor) -> Tensor:
        following = self._shuffle()
        if self._samples > 1 and following[0] == last[0]:
            # The same sample must not be in a batch twice: swap it with the second.
            following[:2] = following[:2].flip(0)
        self._left = following[1:]
        return torch.cat([last, following[:1]])


class FreshDraw:
    """Every batch is the first of a new shuffle, as in the authors' code (train.py:105).

    There, ``next(iter(loader))`` restarts the data loader at every step. An epoch is therefore a number of
    independent draws, and some samples may not be seen at all. Kept for comparison. A client's only sample is
    taken twice, because BatchNorm needs two.
    """

    def __init__(self, samples: int, batch_size: int, generator: Generator) -> None:
        """Take the same arguments as ``ShuffledPasses``, and raise the same errors."""
        _check(samples, batch_size)
        self._samples = samples
        self._batch_size = batch_size
        self._generator = generator

    def next(self) -> Tensor:
        """Return the samples of the next batch: int64 tensor of indices, two or more."""
        if self._samples == 1:
            return torch.zeros(2, dtype=torch.int64)
        return torch.randperm(self._samples, generator=self._generator)[: self._batch_size]


def _check(samples: int, batch_size: int) -> None:
    if samples < 1:
        raise DataError(f"a client has {samples} samples: it needs at least one")
    if batch_size < 2:
        raise DataError(f"batch_size is {batch_size}: BatchNorm needs at least 2")
