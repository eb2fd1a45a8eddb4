"""The plain opponent in a process of its own, with memory and threads as PyTorch has them by default."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from huscf_flwr.bench.step import Step, mixed_cuts, plain_step, random_batches
from huscf_flwr.models import load_model_spec

AUTHORS_MODEL = "authors-28"
"""The only networks that the opponent knows."""

_DONE = "done\n"


@contextmanager
def plain_opponent(clients: int, batch_size: int) -> Iterator[Step]:
    """Give the opponent's step, which runs in the other process while this one waits for it.

    A step raises ``RuntimeError`` if that process has ended.
    """
    numbers = map(str, (clients, batch_size, torch.get_num_threads()))
    command = [sys.executable, "-m", __name__, *numbers]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asks, answers = process.stdin, process.stdout

        def step() -> None:
            # A process that has ended takes no orders, and gives no answer either.
            with suppress(BrokenPipeError):
                asks.write("step\n")
                asks.flush()
            if answers.readline() != _DONE:
                raise RuntimeError("the process of the plain opponent has ended; see its error above")

        try:
            yield step
        finally:
            with suppress(BrokenPipeError):
                asks.close()


def _serve(clients: int, batch_size: int, threads: int) -> None:
    torch.set_num_threads(threads)
    spec = load_model_spec(AUTHORS_MODEL)
    step = plain_step(mixed_cuts(spec, clients), random_batches(spec, clients, batch_size))
    for _ in sys.stdin:
        step()
        sys.stdout.write(_DONE)
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(*map(int, sys.argv[1:]))
