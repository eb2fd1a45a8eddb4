"""Flower's own partitioners (``flwr_datasets.partitioner``), by name, for the images of any domain.

They need the extra ``datasets``. A partitioner is given the columns of a domain, not its pixels: ``label``,
and whatever else images came with. Its number of partitions is that of the domain's clients and its seed is
drawn from the run's, so that a scenario says neither. Images are shuffled before, as Flower's
``FederatedDataset`` does: some partitioners cut them into pieces in the order in which they come.
"""

from __future__ import annotations

import inspect
import io
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, model_validator

from huscf_flwr.conf_files import Strict, did_you_mean, is_number
from huscf_flwr.data.images import DataError
from huscf_flwr.extras import extra
from huscf_flwr.naming import by_count

_LOGGER = logging.getLogger(__name__)

Indices = NDArray[np.int64]

LABEL = "label"
"""The column of labels, by which partitioners part if nothing else is said."""
_PLACE = "place in the domain"
_GIVEN = {"num_partitions": "clients", "seed": "the run's seed"}
"""Parameters that a scenario does not say, with what says them."""
_UNUSABLE = frozenset({"Partitioner", "IdToSizeFncPartitioner"})
"""Bases, which need code of one's own."""


class FlowerPartitioner(Strict):
    """A partitioner of Flower's with its parameters, as a scenario names it.

    Attributes:
        kind: name of a class in ``flwr_datasets.partitioner``, such as ``DirichletPartitioner``.

    All other keys are parameters of that class. ``partition_by`` is the column ``label`` by default.
    """

    model_config = ConfigDict(extra="allow")

    kind: str

    @model_validator(mode="after")
    def _is_known(self) -> FlowerPartitioner:
        """Refuse what the class would refuse, before any image is read."""
        known = _parameters(_class_of(self.kind))
        for name in self.parameters:
            if name in _GIVEN:
                raise ValueError(
                    f"{self.kind}: {name} is not said here, since it is {_GIVEN[name]}; remove it"
                )
            if name not in known:
                raise ValueError(
                    f"{self.kind} has no parameter '{name}'{did_you_mean(name, known)}; it takes "
                    f"{', '.join(sorted(set(known) - set(_GIVEN))) or 'none'}"
                )
        missing = [
            name
            for name, parameter in known.items()
            if parameter.default is parameter.empty
            and name not in (*self.parameters, *_GIVEN, "partition_by")
        ]
        if missing:
            raise ValueError(f"{self.kind} needs {', '.join(missing)}; add it beside kind")
        for name, value in self.parameters.items():
            if value is not None and is_number(known[name].annotation) and not _is_numbers(value):
                raise ValueError(f"{self.kind}: {name} is {value}, and wants finite numbers")
        self._check_values()
        return self

    def _check_values(self) -> None:
        lists = [len(value) for value in self.parameters.values() if isinstance(value, list)]
        try:
            self._made(max(lists, default=1), seed=0)
        except (ValueError, TypeError, AssertionError, LookupError, ArithmeticError) as error:
            said = ", ".join(f"{name}: {value}" for name, value in self.parameters.items())
            raise ValueError(f"{self.kind} takes no {said}: {error}; change its parameters") from error

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What is said beside ``kind``."""
        return self.model_extra or {}

    def deal(self, name: str, columns: Mapping[str, NDArray[Any]], count: int, seed: int) -> list[Indices]:
        """Deal the images of a domain to ``count`` clients.

        Args:
            name: of the domain, for errors.
            columns: what is known of each image, by name, each [N]; ``label`` among them.
            count: number of clients, at least one.
            seed: what is drawn by it is the same on every machine.

        Returns:
            For each client the positions of its images, int64. No image is in two; some may be in none.

        Raises:
            DataError: naming the partitioner and the domain, if it cannot deal the images so.
        """
        column = self.parameters.get("partition_by", LABEL)
        if not isinstance(column, str) or column not in columns:
            raise DataError(
                f"partitioner: partition_by is {column}, but the images of domain '{name}' have "
                f"{', '.join(columns)}{did_you_mean(str(column), columns)}; name one of these"
            )
        parts = self._parts(name, columns, count, seed)
        if len(parts) < count:
            made = by_count(len(parts), "part", "parts")
            raise DataError(
                f"partitioner: {self.kind} makes {len(parts)} {made} of domain '{name}', which has {count} "
                f"clients: set clients so that each domain has at most {len(parts)}"
            )
        return parts

    def _parts(self, name: str, columns: Mapping[str, NDArray[Any]], count: int, seed: int) -> list[Indices]:
        """Return at most ``count`` parts."""
        order = np.random.default_rng(seed).permutation(len(columns[LABEL]))
        shuffled = {column: values[order].tolist() for column, values in columns.items()}
        try:
            partitioner = self._made(count, seed)
            partitioner.dataset = _datasets().Dataset.from_dict({**shuffled, _PLACE: order.tolist()})
            with _said(self.kind):
                made = range(min(count, partitioner.num_partitions))
                return [np.array(partitioner.load_partition(part)[_PLACE], dtype=np.int64) for part in made]
        except (ValueError, TypeError, AssertionError, LookupError, ArithmeticError) as error:
            raise DataError(
                f"partitioner: {self.kind} cannot deal {len(order)} images of domain '{name}' to {count} "
                f"clients: {error}; change its parameters, or clients"
            ) from error

    def _made(self, count: int, seed: int) -> Any:
        made = _class_of(self.kind)
        given = {"num_partitions": count, "seed": seed, "partition_by": LABEL, **self.parameters}
        known = _parameters(made)
        return made(**{name: _as_array(name, value) for name, value in given.items() if name in known})


@contextmanager
def _said(kind: str) -> Iterator[None]:
    """Log what a partitioner warns of, each once, instead of letting it write into the terminal."""
    with warnings.catch_warnings(record=True) as said, redirect_stderr(io.StringIO()):
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(warning.message) for warning in said):
        _LOGGER.warning("%s: %s", kind, text)


def datasets_module(purpose: str) -> ModuleType:
    """Return Hugging Face's package ``datasets``.

    Raises ``MissingExtraError`` if it is not installed, naming the ``purpose``.
    """
    with extra("datasets", purpose):
        return import_module("datasets")


def _datasets() -> ModuleType:
    return datasets_module("partitioner")


def _class_of(kind: str) -> type[Any]:
    with extra("datasets", kind):
        module = import_module("flwr_datasets.partitioner")
    known = [name for name in module.__all__ if name not in _UNUSABLE and not name.startswith("Vertical")]
    if kind not in known:
        raise ValueError(
            f"'{kind}' is no partitioner of Flower's that deals whole images{did_you_mean(kind, known)}. "
            f"Known: {', '.join(known)}"
        )
    found: type[Any] = getattr(module, kind)
    return found


def _parameters(partitioner: type[Any]) -> Mapping[str, inspect.Parameter]:
    return {
        name: parameter
        for name, parameter in inspect.signature(partitioner).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }


def _is_numbers(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _as_array(name: str, value: Any) -> Any:
    """Return a parameter as the class wants it: YAML has lists only."""
    return np.array(value) if name == "distribution_array" and isinstance(value, Sequence) else value
