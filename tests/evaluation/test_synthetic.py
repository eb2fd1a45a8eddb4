import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.evaluation.synthetic import balanced_labels, draw_images, train_on_synthetic_test_on_real
from tests.evaluation.domains import CLASSES, QUICK, digits_8x8, real_sampler


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 300), st.integers(1, 20))
def test_balanced_labels_differ_by_at_most_one(count, classes):
    labels = balanced_labels(count, classes)
    counts = torch.bincount(labels, minlength=classes)
    assert len(labels) == count
    assert len(counts) == classes
    assert counts.max() - counts.min() <= 1


def test_images_are_drawn_in_the_order_of_their_labels():
    def sampler(labels, _):
        return labels.double()[:, None, None, None].expand(-1, 1, 2, 2) / 1000

    labels = torch.arange(1203) % 1000
    images = draw_images(sampler, labels, generator())
    assert images.dtype == torch.float32
    assert images.shape == (1203, 1, 2, 2)
    assert torch.allclose(images[:, 0, 0, 0], labels / 1000)


def test_a_diverged_generator_is_named():
    def sampler(labels, _):
        images = torch.zeros(len(labels), 1, 4, 4)
        images[3, 0, 1, 1] = torch.nan
        return images

    with pytest.raises(ValueError, match=r"1 of 10 generated images .* diverged"):
        draw_images(sampler, balanced_labels(10, 10), generator())


def test_no_labels_are_refused():
    with pytest.raises(ValueError, match="at least one label"):
        draw_images(lambda labels, _: labels, torch.empty(0, dtype=torch.int64), generator())


def synthetic_scores(label_shift):
    domain = digits_8x8()
    labels = balanced_labels(1000, CLASSES)
    images = draw_images(real_sampler(domain, label_shift=label_shift), labels, generator())
    return train_on_synthetic_test_on_real(
        images, labels, domain.test, classes=CLASSES, settings=QUICK, generator=generator()
    )


@pytest.mark.slow
def test_good_images_teach_the_real_task():
    scores = synthetic_scores(label_shift=0)
    assert scores.accuracy >= 0.9
    assert scores.fpr <= 0.02


@pytest.mark.slow
def test_images_of_the_wrong_label_teach_the_wrong_task():
    assert synthetic_scores(label_shift=1).accuracy <= 0.1
