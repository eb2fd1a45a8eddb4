import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.data.shares import stratified_shares

labels_of_images = st.lists(st.integers(0, 4), max_size=60).map(lambda labels: torch.tensor(labels).long())


@given(labels_of_images, st.integers(1, 6))
def test_every_image_is_in_one_share_and_each_label_is_spread_evenly(labels, count):
    shares = stratified_shares(labels, count, "test")
    assert len(shares) == count
    assert sorted(torch.cat(shares).tolist()) == list(range(len(labels)))
    assert all(share.tolist() == sorted(share.tolist()) for share in shares)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    for label in range(5):
        counts = [int((labels[share] == label).sum()) for share in shares]
        assert max(counts) - min(counts) <= 1


def test_shares_are_drawn_at_random_and_the_same_for_the_same_purpose():
    labels = torch.zeros(40, dtype=torch.int64)
    first, again, other = (stratified_shares(labels, 2, *purpose)[0] for purpose in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, torch.arange(0, 40, 2))
