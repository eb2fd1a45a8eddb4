import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Sums do not depend on how they were shared out, and small work is not slowed down by sharing."""
    torch.set_num_threads(1)
