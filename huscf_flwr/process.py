"""How a computing process uses its machine: device, threads, and freed memory that it keeps."""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import cache
from pathlib import Path

import torch

from huscf_flwr.config import ComputeSection, RunConfig

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Parameters of glibc's ``mallopt`` (malloc.h)."""

_NEVER = -1
_OVERCOMMIT, _STRICT = Path("/proc/sys/vm/overcommit_memory"), "2"
"""Linux's file for its overcommit policy, and its content if memory is never overcommitted."""


_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def dtype_of(config: RunConfig) -> torch.dtype:
    """Return the type of the computation."""
    return _DTYPES[config.compute.precision]


def device_of(compute: ComputeSection) -> torch.device:
    """Return the device of this process's computation.

    Raises ``ValueError`` if the machine does not have the device in the setting.
    """
    found = torch.cuda.is_available()
    if compute.device == "cuda" and not found:
        raise ValueError(
            "compute.device: cuda, but PyTorch finds no CUDA device in this process; use cpu or auto. In a "
            "simulation started by flwr run, ClientApps get one with --federation-config "
            '"client-resources-num-gpus=0.5"; huscf run sets this itself'
        )
    if compute.device == "cpu" or not found:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def prepare_process(compute: ComputeSection, threads: int = 0) -> None:
    """Set up this process by ``compute``; ``threads`` is used if ``compute.threads`` is zero.

    Raises ``ValueError`` as ``device_of`` does.
    """
    if device_of(compute).type == "cuda":
        # Lower precision must be chosen by a setting, so float32 never means TensorFloat-32.
        torch.backends.cudnn.allow_tf32 = False
    if compute.threads or threads:
        torch.set_num_threads(compute.threads or threads)
    if compute.keep_memory:
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Make the C library reuse freed memory and not return it to the system; return whether it agreed.

    Every step allocates and frees the same large tensors. By default glibc returns each to the system, which
    then clears every page of the next one: 5 to 7 % of a step. All threads share one arena, since other
    arenas always take large tensors from the system. C libraries other than glibc are left as they are.

    The memory lies in large pages if the system provides them: with pages of 4 kB, address translation for
    the memory of many clients takes a tenth of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _ARENA_MAX: 1}
    done = [mallopt(setting, value) for setting, value in settings.items()]
    _ask_for_large_pages()
    return all(done)


@cache
def _ask_for_large_pages() -> None:
    """Ask the system, once, for large pages for memory that this process allocates from now on.

    The advice applies to a range of addresses, so a range of half the machine's memory is reserved first,
    which uses no memory itself. Nothing is reserved if the system counts reserved addresses as memory, or
    does not say.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE") or not _OVERCOMMIT.is_file():
        return
    if _OVERCOMMIT.read_text().strip() == _STRICT:
        return
    library = ctypes.CDLL(None)
    library.aligned_alloc.restype = ctypes.c_void_p
    library.aligned_alloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
    library.free.argtypes = (ctypes.c_void_p,)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    size = os.sysconf("SC_PHYS_PAGES") // 2 * mmap.PAGESIZE
    reserved = library.aligned_alloc(mmap.PAGESIZE, size)
    if reserved is not None:
        library.madvise(reserved, size, mmap.MADV_HUGEPAGE)
        library.free(reserved)
