"""Runs of tests draw little: pictures would take three quarters of a small run's time."""

from contextlib import contextmanager

import pytest
from torchvision.utils import save_image

from huscf_flwr.evaluation import report
from huscf_flwr.models import generators
from huscf_flwr.run import run_folder


@contextmanager
def plainly_drawn():
    """Reports have no charts, and grids no captions.

    ``tests/evaluation`` is about these, and runs that tests of ``tests/commands`` share have all of it.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report, "charts", lambda record: ())
        patched.setattr(run_folder, "sample_grid", write_plain_grid)
        yield


@contextmanager
def little_drawn():
    """And generators are measured on few latent vectors, of which ``tests/models`` has many."""
    with plainly_drawn(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(generators, "_MEASURED_BATCH", 16)
        yield


def write_plain_grid(path, images, columns, captions):
    """Write the images, as many beside each other as the real grid has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(images, path, nrow=columns, normalize=True, value_range=(-1, 1))
