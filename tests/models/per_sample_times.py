"""How much longer the gradients of single images take, clipped, than that of a batch: a table.

``OMP_NUM_THREADS=1 python -m tests.models.per_sample_times``. Seconds are those of the processor that this
process had, so that others on the machine count little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch

from huscf_flwr.models import build_network, load_model_spec
from huscf_flwr.models.per_sample import clipped_sum
from huscf_flwr.split.local_discriminator import adversarial_loss

_REPETITIONS = 3


def main() -> None:
    """Print a row for each width and number of images."""
    torch.set_num_threads(1)
    loss = partial(adversarial_loss, target=1.0)
    for width in (0.25, 1.0):
        spec = load_model_spec("authors-28", width).with_group_normalisation("discriminator")
        discriminator = build_network(spec, "discriminator")
        for count in (64, 256):
            images, labels = torch.randn(count, 1, 28, 28), torch.randint(10, (count,))
            one_by_one = _least_seconds(partial(clipped_sum, discriminator, images, labels, loss, 1.0))
            batch = _least_seconds(lambda: loss(discriminator(images, labels)).backward())  # noqa: B023
            print(
                f"width {width:g}, {count} images: {one_by_one:.3f} s, batch {batch:.3f} s, "
                f"{one_by_one / batch:.2f} times"
            )


def _least_seconds(work: Callable[[], object]) -> float:
    found = []
    for _ in range(_REPETITIONS):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


if __name__ == "__main__":
    main()
