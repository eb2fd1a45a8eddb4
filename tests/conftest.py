import os

# Read when torch is loaded, and by it alone: threads that tests start compute alone too.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import settings

del os.environ["OMP_NUM_THREADS"]

# A shared machine may be slow at any time, and no test is about time.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk():
    """No test cuts the power, so that what was written need not have reached the disk.

    What is no open file is refused as ever. Processes that tests start do wait.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Sums do not depend on how they were shared out, and small work is not slowed down by sharing."""
    torch.set_num_threads(1)
