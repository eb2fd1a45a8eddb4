import pytest
import torch
from hypothesis import settings

# A shared machine may be slow at any time, and no test is about time.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Sums do not depend on how they were shared out, and small work is not slowed down by sharing."""
    torch.set_num_threads(1)
