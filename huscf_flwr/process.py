"""What a computing process takes of its machine: threads, and memory that it does not give back."""

from __future__ import annotations

import ctypes

import torch

from huscf_flwr.config import ComputeSection

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Parameters of glibc's ``mallopt`` (malloc.h)."""

_NEVER = -1


def prepare_process(compute: ComputeSection, threads: int = 0) -> None:
    """Set up this process as ``compute`` says; ``threads`` are its share where the setting leaves it open."""
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
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _ARENA_MAX: 1}
    done = [mallopt(setting, value) for setting, value in settings.items()]
    return all(done)
