"""Tiny domains for the tests of this folder: scikit-learn's 8x8 digits, no download, trained in a second."""

from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from huscf_flwr.data import Domain, LabelledImages, normalise
from huscf_flwr.evaluation.classifier import TrainingSettings

CLASSES = 10
QUICK = TrainingSettings(epochs=4, images_seen=8_000, batch=32)


@cache
def digits_8x8() -> Domain:
    """The digits in their own size: 1,400 training and 397 test images, 16 grey levels as bytes."""
    digits = load_digits()
    images = torch.from_numpy(digits.images * 255 / 16).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(digits.target).long()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    train, test = order[:1400], order[1400:]
    return Domain(
        "digits",
        CLASSES,
        LabelledImages(images[train], labels[train]),
        LabelledImages(images[test], labels[test]),
    )


def real_sampler(domain: Domain, *, label_shift: int = 0):
    """A perfect generator: real training images of the label asked for, or of one `label_shift` further."""
    of_label = [domain.train.images[domain.train.labels == label] for label in range(domain.classes)]

    def sample(labels: Tensor, generator: torch.Generator) -> Tensor:
        pools = [of_label[(label + label_shift) % domain.classes] for label in labels.tolist()]
        choices = [pool[torch.randint(len(pool), (1,), generator=generator)] for pool in pools]
        return normalise(torch.cat(choices))

    return sample
