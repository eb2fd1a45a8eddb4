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
def one_thread():
    """Sums do not depend on how they were shared out, and small work is not slowed down by sharing."""
    torch.set_num_threads(1)
