import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.data import LabelledImages, split_held_out

SEEDS = st.integers(0, 2**40)
CLIENTS = st.integers(0, 10_000)


def numbered(count: int) -> LabelledImages:
    """Images whose labels are their places."""
    places = torch.arange(count)
    return LabelledImages((places % 251).to(torch.uint8).reshape(count, 1, 1, 1), places)


@given(samples=st.integers(1, 60), fraction=st.floats(0, 1, exclude_max=True), seed=SEEDS, client=CLIENTS)
def test_every_image_is_on_one_side_in_its_order_and_one_is_left_to_train_on(samples, fraction, seed, client):
    train, held_out = split_held_out(numbered(samples), fraction, seed=seed, client=client)
    assert len(held_out) == min(int(samples * fraction), samples - 1)
    assert len(train) >= 1
    for part in train, held_out:
        assert part.labels.tolist() == sorted(part.labels.tolist())
        assert torch.equal(part.images.flatten(), part.labels.to(torch.uint8) % 251)
    assert sorted([*train.labels.tolist(), *held_out.labels.tolist()]) == list(range(samples))


@given(samples=st.integers(0, 20), seed=SEEDS, client=CLIENTS)
def test_nothing_held_out_leaves_the_very_same_images_and_draws_nothing(samples, seed, client):
    images = numbered(samples)
    before = torch.get_rng_state()
    train, held_out = split_held_out(images, 0.0, seed=seed, client=client)
    assert train is images
    assert held_out.images.shape == (0, 1, 1, 1)
    assert torch.equal(torch.get_rng_state(), before)


def held_out_by(seed: int, client: int) -> list[int]:
    return split_held_out(numbered(200), 0.5, seed=seed, client=client)[1].labels.tolist()


def test_what_is_held_out_depends_on_seed_and_client():
    assert held_out_by(1, 2) == held_out_by(1, 2)
    assert held_out_by(1, 2) != held_out_by(2, 2)
    assert held_out_by(1, 2) != held_out_by(1, 1)


def test_places_are_not_favoured():
    """400 draws of a tenth: each place is held out in 40 of them, with a standard deviation of 6."""
    counts = torch.zeros(20)
    for client in range(400):
        counts[split_held_out(numbered(20), 0.1, seed=0, client=client)[1].labels] += 1
    assert counts.sum() == 800
    assert 40 - 24 < counts.min() <= counts.max() < 40 + 24
