import pytest
import torch

from huscf_flwr.data.progress import progress_told
from huscf_flwr.evaluation.classifier import (
    TrainingSettings,
    as_input,
    build_classifier,
    predict,
    shift_at_random,
    train_classifier,
)
from tests.evaluation.domains import CLASSES, QUICK, digits_8x8


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def train(seed=0, settings=QUICK):
    train = digits_8x8().train
    return train_classifier(train.images, train.labels, CLASSES, settings, generator(seed))


@pytest.mark.slow
def test_it_learns_the_digits():
    test = digits_8x8().test
    probabilities, features = predict(train(), test.images)
    assert (probabilities.argmax(dim=1) == test.labels).double().mean() >= 0.93
    assert features.shape == (len(test), 64)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(len(test)))


def test_its_weights_depend_on_the_generator_and_on_nothing_else():
    settings = TrainingSettings(images_seen=320, batch=32, shift=1)
    torch.manual_seed(1)
    first = train(5, settings).state_dict()
    torch.manual_seed(2)
    again = train(5, settings).state_dict()
    other = train(6, settings).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["project.weight"], other["project.weight"])


def test_training_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    train(settings=TrainingSettings(images_seen=64, batch=32, shift=1))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("images", "settings", "steps"),
    [
        (1000, TrainingSettings(epochs=3, batch=100), 30),
        (1000, TrainingSettings(epochs=3, batch=100, images_seen=500), 5),
        (10, TrainingSettings(epochs=3, batch=100), 3),
        (1000, TrainingSettings(batch=100, images_seen=1), 1),
    ],
)
def test_the_number_of_steps_is_bounded_by_epochs_and_by_images_seen(images, settings, steps):
    assert settings.steps(images) == steps


@pytest.mark.parametrize(("channels", "size"), [(1, 5), (3, 8), (1, 28), (2, 1)])
def test_any_size_and_number_of_channels_will_do(channels, size):
    images = torch.rand(6, channels, size, size, generator=generator()) * 2 - 1
    labels = torch.arange(6) % 3
    settings = TrainingSettings(epochs=1, batch=4)
    probabilities, _ = predict(train_classifier(images, labels, 3, settings, generator()), images)
    assert probabilities.shape == (6, 3)


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        train_classifier(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64), 2, QUICK, generator())


def test_predictions_do_not_depend_on_who_else_is_in_the_batch():
    classifier = build_classifier(1, 8, CLASSES, generator()).eval()
    images = digits_8x8().test.images[:7]
    together, _ = predict(classifier, images)
    alone = torch.cat([predict(classifier, image[None])[0] for image in images])
    assert torch.allclose(together, alone, atol=1e-6)


def test_bytes_and_their_normalised_values_are_the_same_input():
    pixels = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    assert as_input(pixels).flatten().tolist() == [-1.0, 1.0]
    assert torch.equal(as_input(torch.tensor([[[[-1.0, 1.0]]]])), as_input(pixels))


def test_shift_moves_every_image_by_at_most_so_many_pixels():
    images = torch.zeros(64, 1, 7, 7)
    images[:, :, 3, 3] = 1
    places = shift_at_random(images, 2, generator()).flatten(1).argmax(dim=1)
    rows, columns = places // 7, places % 7
    assert set(rows.tolist()) == set(columns.tolist()) == {1, 2, 3, 4, 5}


def test_shift_repeats_the_edge():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    for seed in range(8):
        moved = shift_at_random(image, 1, generator(seed))
        assert set(moved.flatten().tolist()) <= set(range(9))
    assert torch.equal(shift_at_random(image, 0, generator()), image)


def test_who_listens_is_told_of_every_step():
    told = []
    images, labels = torch.zeros(8, 1, 8, 8), torch.arange(8) % 2
    settings = TrainingSettings(epochs=3, batch=4)
    with progress_told(lambda *each: told.append(each)):
        train_classifier(images, labels, 2, settings, generator(), what="steps of learning")
    assert told == [("steps of learning", step, 6) for step in range(7)]
