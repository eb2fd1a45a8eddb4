"""A3: labels from a generator's head, and from an embedding that moved."""

import pytest
import torch

from huscf_flwr.models import build_blocks
from huscf_flwr.privacy.attacks.labels import labels_of_fakes, labels_that_moved
from tests.privacy.attacks.heads import head, quarter


def first_block(drift=0.0):
    blocks = build_blocks(quarter(), "generator", [0], seed=0)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in blocks.parameters():
            parameter.add_(drift * torch.randn(parameter.shape, generator=stream).sign())
    return blocks


@pytest.mark.parametrize("drift", [0.0, 0.02])
def test_labels_of_fakes_are_read_from_the_generators_first_block(drift):
    stream = torch.Generator().manual_seed(1)
    labels = torch.randint(10, (24,), generator=stream)
    with torch.no_grad():
        outputs = first_block(drift)(torch.randn(24, 100, generator=stream), labels)
    assert torch.equal(labels_of_fakes(first_block().at(0), outputs), labels)


def test_another_kind_of_block_is_named():
    with pytest.raises(ValueError, match="not from convolution"):
        labels_of_fakes(head().at(0), torch.zeros(2, 16, 14, 14))


def test_rows_that_moved_name_the_labels_of_a_client():
    before = torch.zeros(4, 3)
    after = torch.tensor([[0.1, 0.0, 0.2], [0.0, 0.0, 0.0], [0.001, 0.0, -0.001], [-0.3, 0.1, 0.1]])
    moved = labels_that_moved({"embedding.weight": before}, {"embedding.weight": after})
    assert moved == {0, 3}
