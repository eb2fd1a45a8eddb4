"""Runs of tests draw little: pictures would take three quarters of a small run's time."""

from contextlib import contextmanager

import pytest
from torchvision.utils import save_image

from huscf_flwr.evaluation import report
from huscf_flwr.models import generators
from huscf_flwr.run import run_folder


@contextmanager
def little_drawn():
    """Reports have no charts, grids no captions, and generators are measured on few latent vectors.

    ``tests/evaluation`` and ``tests/models`` are about these, and runs of ``tests/commands`` have all of it.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report, "charts", lambda record: ())
        patched.setattr(run_folder, "sample_grid", write_plain_grid)
        patched.setattr(generators, "_MEASURED_BATCH", 16)
        yield


def write_plain_grid(path, images, columns, captions):
    """Write the images, as many beside each other as the real grid has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(images, path, nrow=columns, normalize=True, value_range=(-1, 1))
