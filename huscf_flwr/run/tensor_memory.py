"""How much memory the tensors of a client take while it trains, by what it is doing.

The size of the process says little about one client: the interpreter, PyTorch and other clients are in it,
and what an allocator keeps. So tensors are counted: the bytes of all storages that an operation of this
thread has read or written so far, and that are still there. They are weights and their gradients, moments of
the optimiser, activations that backward needs, and images in use. What a kernel takes and gives back within
one operation is not counted. So the number does not depend on the machine.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.contract import MessageClient

_BEFORE = ""
"""Before the client trains: it is made, and takes over what it is told and what it has kept."""


class ClientMemory:
    """What is known of one client's memory: nothing, unless a meter is running."""

    def __init__(self) -> None:
        self._doing: Callable[[], str] = lambda: _BEFORE
        self.meter: TensorMeter | None = None

    def watch(self, member: MessageClient) -> None:
        """Name what is measured from now on after what ``member`` is doing."""
        self._doing = lambda: member.phase

    def doing(self) -> str:
        """Return what the client is doing now."""
        return self._doing()

    @property
    def peaks(self) -> dict[str, int]:
        """The most bytes at once, by phase."""
        found = {} if self.meter is None else self.meter.peaks
        return {phase: count for phase, count in found.items() if phase != _BEFORE}


@contextmanager
def measured_memory(config: RunConfig) -> Iterator[ClientMemory]:
    """Measure what one client takes, if ``compute.measure_memory`` says so; without it this costs nothing."""
    memory = ClientMemory()
    if not config.compute.measure_memory:
        yield memory
        return
    memory.meter = TensorMeter(memory.doing)
    with memory.meter:
        yield memory


class TensorMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types there
    """While it is entered, counts the bytes of the tensors that operations of this thread touch.

    Attributes:
        phase: says what is being done, under whose name the most bytes are remembered.
        peaks: the most bytes that were alive at once, by phase.
    """

    def __init__(self, phase: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.phase = phase
        self.peaks: dict[str, int] = {}
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._bytes = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Carry the operation out, and count what it has read and written."""
        kwargs = kwargs or {}
        self._count(tree_leaves((args, kwargs)))
        result = func(*args, **kwargs)
        self._count(tree_leaves(result))
        phase = self.phase()
        self.peaks[phase] = max(self.peaks.get(phase, 0), self._bytes)
        return result

    def _count(self, found: Iterable[object]) -> None:
        for each in found:
            if not isinstance(each, Tensor) or each.device.type == "meta" or each.layout is not torch.strided:
                continue
            storage = each.untyped_storage()
            key = storage._cdata
            if key not in self._alive:
                size = storage.nbytes()
                self._alive[key] = weakref.ref(storage, partial(self._gone, key, size))
                self._bytes += size

    def _gone(self, key: int, size: int, _: object) -> None:
        del self._alive[key]
        self._bytes -= size
