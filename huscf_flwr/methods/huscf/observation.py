"""What the server sees of the clients' images in a round: statistics of the discriminator's middle.

Where the middle runs on the server, it watches it. Where clients have the whole discriminator, each gathers
the same statistics of its own images and sends them with its upload: all that it tells of them beside what it
trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.federation import ActivationAccumulator, ActivationStatistics, Sketch, sketched
from huscf_flwr.federation.features import SKETCH_DIRECTIONS
from huscf_flwr.methods.batches import largest_epoch
from huscf_flwr.methods.contract import Collected, Description, Form, Tensors
from huscf_flwr.methods.huscf.crossing import STATISTICS, StatisticsFacts
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.models import model_spec_of, weight_dtype
from huscf_flwr.process import dtype_of
from huscf_flwr.session import TensorHeader
from huscf_flwr.split import Observer

_MEAN, _VARIANCE, _COVARIANCE = "mean", "variance", "covariance of the sketch"


Seen = Mapping[int, ActivationStatistics] | None
"""What was seen of each client that took part to the end, by client id; None where nobody may look."""


class Observation:
    """Watches the executor, in the steps that ``feature_window`` says."""

    form: ClassVar[Form] = {}
    """What a client's upload has of it."""

    def __init__(self, config: RunConfig, described: Mapping[int, Description]) -> None:
        self._config = config
        self._described = described
        self._observed: dict[int, ActivationAccumulator] = {}

    @property
    def clients(self) -> list[int]:
        """The clients of the round that is under way or has ended last."""
        return list(self._observed)

    def begin(self, clients: Sequence[int]) -> None:
        """Begin a round of ``clients``, of which nothing has been seen."""
        self._observed = {client: ActivationAccumulator() for client in clients}

    def window(self, clients: Sequence[int]) -> range:
        """Return the steps, from one, in which activations of ``clients`` are looked at."""
        epoch = largest_epoch(self._described, clients, self._config)
        steps = self._config.local_epochs * epoch
        return {
            "first-epoch": range(1, epoch + 1),
            "last-epoch": range(steps - epoch + 1, steps + 1),
            "last-batch": range(steps, steps + 1),
        }[self._config.settings(HuSCFSettings).feature_window]

    def observer(self, step: int) -> Observer | None:
        """Return who looks at the activations of a step, if anybody does."""
        return self._observe if step in self.window(self.clients) else None

    def statistics(self, collected: Collected) -> Seen:
        """Return what was seen."""
        return {client: self._observed[client].statistics() for client in sorted(collected.uploads)}

    def _observe(self, client: int, activations: Tensor) -> None:
        self._observed[client].observe(activations)


class ToldObservation(Observation):
    """Takes what the clients tell of their own activations."""

    def __init__(self, config: RunConfig, described: Mapping[int, Description]) -> None:
        super().__init__(config, described)
        self.form = {STATISTICS: form_of_statistics(config)}  # type: ignore[misc]  # of this configuration

    def statistics(self, collected: Collected) -> dict[int, ActivationStatistics]:
        """Return what the clients have told, by client id, ascending."""
        uploads = sorted(collected.uploads.items())
        return {client: _told(upload.facts, upload.tensors[STATISTICS]) for client, upload in uploads}


def form_of_statistics(config: RunConfig) -> dict[str, TensorHeader]:
    """Return types and shapes of what a client tells: mean and variance of each activation of the middle.

    And, if features are scaled by how they vary within clients, the covariance in the directions of the
    sketch, of which the triangle above the diagonal does: [D (D + 1) / 2]. The sketch of the mean follows
    from the mean.
    """
    spec = model_spec_of(config)
    shape = spec.shapes("discriminator")[spec.discriminator.middle_index + 1]
    dtype = weight_dtype(dtype_of(config))
    form = {_MEAN: TensorHeader(dtype, shape), _VARIANCE: TensorHeader(dtype, shape)}
    if _with_covariance(config):
        directions = min(torch.Size(shape).numel(), SKETCH_DIRECTIONS)
        form[_COVARIANCE] = TensorHeader(dtype, (directions * (directions + 1) // 2,))
    return form


def statistics_to_tell(config: RunConfig, seen: ActivationStatistics) -> Tensors:
    """Return what a client sends of the statistics of its activations: see ``form_of_statistics``."""
    told = {_MEAN: seen.mean, _VARIANCE: seen.variance}
    if _with_covariance(config):
        assert seen.sketch is not None
        directions = len(seen.sketch.covariance)
        rows, columns = torch.triu_indices(directions, directions)
        told[_COVARIANCE] = seen.sketch.covariance[rows, columns]
    return {name: tensor.to(weight_dtype(dtype_of(config))) for name, tensor in told.items()}


def _with_covariance(config: RunConfig) -> bool:
    return config.settings(HuSCFSettings).feature_scaling == "samples"


def _told(facts: object, tensors: Tensors) -> ActivationStatistics:
    assert isinstance(facts, StatisticsFacts)
    told = {name: tensor.to(torch.float64) for name, tensor in tensors.items()}
    mean = told[_MEAN]
    sketch = None
    if _COVARIANCE in told:
        sketch = Sketch(sketched(mean[None])[0], _symmetric(told[_COVARIANCE]))
    return ActivationStatistics(mean, told[_VARIANCE], facts.observed, sketch)


def _symmetric(triangle: Tensor) -> Tensor:
    """Return the symmetric matrix [D, D] whose rows from the diagonal on are in ``triangle``."""
    directions = int((8 * len(triangle) + 1) ** 0.5) // 2
    matrix = torch.zeros(directions, directions, dtype=triangle.dtype)
    rows, columns = torch.triu_indices(directions, directions)
    matrix[rows, columns] = triangle
    matrix[columns, rows] = triangle
    return matrix
