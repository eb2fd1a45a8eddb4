"""The domain ``digits``: scikit-learn's bundled handwritten digits in the form of MNIST.

Works offline. The source is the test part of the UCI set "Optical Recognition of Handwritten Digits": 1,797
images of 8x8 pixels with 17 grey levels, written by 13 people. They are enlarged by bicubic interpolation to
22x22, given firmer strokes, and centred by mass on 28x28, as in MNIST.

The source does not say who wrote which image. The split into training (1,437) and test images (360) is
therefore by image, stratified by label and fixed by a seed. The same person may have written in both parts,
so test figures are better than they would be for the handwriting of strangers.

A support vector machine (scikit-learn's ``SVC(C=10)`` on the pixels), trained on the training images, has an
accuracy of 0.989 on the test images.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.data.images import LabelledImages
from huscf_flwr.extras import extra

_SIZE = 28
_FRAME = 1
_LEVELS = 16.0
_TEST_SHARE = 0.2
_SPLIT_SEED = 0
# Grey values below ``_PAPER`` become black and those above ``_INK`` white: interpolation blurs an edge over
# several pixels, and this makes it as steep as that of a pen stroke.
_PAPER, _INK = 0.3, 0.8


def make_digits() -> tuple[LabelledImages, LabelledImages]:
    """Return the training (1,437) and the test images (360), uint8 [N, 1, 28, 28]."""
    with extra("simulation", "the domain digits"):
        from sklearn.datasets import load_digits  # noqa: PLC0415 - a ClientApp starts without it
        from sklearn.model_selection import train_test_split  # noqa: PLC0415

    pixels, names = load_digits(return_X_y=True)
    labels = torch.from_numpy(names).long()
    images = _enlarge(torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / _LEVELS)
    train, test = train_test_split(
        torch.arange(len(labels)).numpy(),
        test_size=_TEST_SHARE,
        stratify=names,
        random_state=_SPLIT_SEED,
    )
    everything = LabelledImages(images, labels)
    return everything.subset(torch.from_numpy(train)), everything.subset(torch.from_numpy(test))


def _enlarge(small: Tensor) -> Tensor:
    """Map [N, 1, 8, 8] in 0..1 to centred uint8 [N, 1, 28, 28]."""
    # The source is cropped to the ink: without a frame, strokes would end abruptly at the border.
    framed = functional.pad(small, (_FRAME,) * 4)
    large = functional.interpolate(framed, (_SIZE, _SIZE), mode="bicubic")
    strokes = ((large - _PAPER) / (_INK - _PAPER)).clamp(0, 1)
    return torch.stack([_centre(image) for image in (strokes * 255).round().to(torch.uint8)])


def _centre(image: Tensor) -> Tensor:
    """Shift [1, 28, 28] by whole pixels to bring its centre of mass to the middle, without losing ink."""
    shifts = []
    for axis in (1, 2):
        ink = image.double().sum(dim=(0, 3 - axis))
        places = torch.arange(_SIZE, dtype=torch.float64)
        wanted = (_SIZE - 1) / 2 - float((ink * places).sum() / ink.sum())
        inked = ink.nonzero().flatten()
        shifts.append(max(-int(inked[0]), min(round(wanted), _SIZE - 1 - int(inked[-1]))))
    return image.roll(shifts, dims=(1, 2))
