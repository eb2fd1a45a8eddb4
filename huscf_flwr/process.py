"""What a computing process takes of its machine: a device, threads, and memory that it does not give back."""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import cache
from pathlib import Path

import torch

from huscf_flwr.config import ComputeSection

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Parameters of glibc's ``mallopt`` (malloc.h)."""

_NEVER = -1
_OVERCOMMIT, _STRICT = Path("/proc/sys/vm/overcommit_memory"), "2"
"""Where Linux says whether it promises no more memory than there is, and what it says then."""


def device_of(compute: ComputeSection) -> torch.device:
    """Return the device of this process's computation.

    Raises ``ValueError`` if there is none of the kind that is asked for.
    """
    found = torch.cuda.is_available()
    if compute.device == "cuda" and not found:
        raise ValueError(
            "compute.device: cuda, but PyTorch finds no CUDA device in this process; take cpu or auto. In a "
            "simulation that flwr run starts, ClientApps have one with --federation-config "
            '"client-resources-num-gpus=0.5"; huscf run sees to it'
        )
    if compute.device == "cpu" or not found:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def prepare_process(compute: ComputeSection, threads: int = 0) -> None:
    """Set up this process as ``compute`` says; ``threads`` are its share where the setting leaves it open.

    Raises ``ValueError`` as ``device_of`` does.
    """
    if device_of(compute).type == "cuda":
        # Lower precision is a setting with a name: float32 is no TensorFloat-32.
        torch.backends.cudnn.allow_tf32 = False
    if compute.threads or threads:
        torch.set_num_threads(compute.threads or threads)
    if compute.keep_memory:
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Let what this process frees be used again, and not go back to the system; return whether it will.

    A step frees and takes the same large tensors again and again. By default glibc returns each to the
    system, which then clears every page of the next one: 5 to 7 % of a step. All threads share one arena,
    since in any other a large tensor comes from the system whatever the limits say. Other C libraries are
    left as they are.

    What is kept lies in large pages where the system has them to give: with those of 4 kB, looking up where
    the memory of many clients is takes a tenth of a step.
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
    """Ask the system, once, for large pages under the memory that this process takes from now on.

    Advice holds for addresses, so they are reserved first: half as many as the machine has memory, which
    costs none. Where the system counts addresses as memory, or does not say, nothing is reserved.
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
