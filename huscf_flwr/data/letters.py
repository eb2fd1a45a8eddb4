"""The domain ``letters``: A to J, rendered from the fonts that matplotlib installs.

Works offline, and looks like a clean notMNIST. Every letter of every font is drawn with small random changes
of rotation, shear, size and position. Test and training images use different fonts: Computer Modern (sans,
bold, typewriter) and STIX for testing; DejaVu, STIX bold and Computer Modern roman for training. The fonts
were chosen, and the changes kept small, so that a classifier generalises from one part to the other and a
small GAN learns the letters in minutes: a support vector machine (scikit-learn's ``SVC(C=10)`` on the
pixels), trained on the training images, is right on all 520 test images.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from huscf_flwr.data.images import DataError, LabelledImages
from huscf_flwr.extras import extra

if TYPE_CHECKING:
    from PIL import Image, ImageFont

LETTERS = "ABCDEFGHIJ"
# Part of the cache folder's name: increase it when the images change.
RECIPE = 1
TRAINING_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "STIXGeneralBol",
    "cmr10",
)
TEST_FONTS = ("STIXGeneral", "cmb10", "cmss10", "cmtt10")
TRAINING_COPIES = 25
TEST_COPIES = 13

_SIZE = 28
# The letter's box in the image, in pixels; the rest is margin for random shifts.
_HEIGHT, _WIDTH = 20.0, 21.0
_GLYPH_POINTS = 120
# Letters are drawn several times too large and then averaged down, for smooth edges.
_OVERSAMPLING = 4
_SEED = 20250717
_MAX_ROTATION = math.radians(5.0)
_MAX_SHEAR = 0.08
_MAX_SCALE = 0.06
_MAX_SHIFT = 1.0


def make_letters() -> tuple[LabelledImages, LabelledImages]:
    """Return the training (2,000) and the test images (520), uint8 [N, 1, 28, 28].

    The same versions of Pillow and matplotlib give the same images each time.

    Raises:
        DataError: if matplotlib's font files are missing or cannot be read.
    """
    generator = np.random.default_rng(_SEED)
    return (
        _render_all(TRAINING_FONTS, TRAINING_COPIES, generator),
        _render_all(TEST_FONTS, TEST_COPIES, generator),
    )


def _render_all(fonts: tuple[str, ...], copies: int, generator: np.random.Generator) -> LabelledImages:
    images, labels = [], []
    for font in fonts:
        for label, letter in enumerate(LETTERS):
            glyph = _draw(font, letter)
            images += [_place(glyph, generator) for _ in range(copies)]
            labels += [label] * copies
    return LabelledImages(torch.from_numpy(np.stack(images))[:, None], torch.tensor(labels))


@lru_cache(maxsize=len(TRAINING_FONTS) + len(TEST_FONTS))
def _open_font(name: str) -> ImageFont.FreeTypeFont:
    with extra("simulation", "the domain letters"):
        import matplotlib  # noqa: PLC0415 - a ClientApp starts without it
        from PIL import ImageFont  # noqa: PLC0415 - likewise

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    try:
        return ImageFont.truetype(str(path), _GLYPH_POINTS)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); reinstall matplotlib") from error


def _draw(font: str, letter: str) -> Image.Image:
    """Return one letter, white on black, cropped to its outline."""
    face = _open_font(font)
    from PIL import Image, ImageDraw  # noqa: PLC0415 - as above

    left, top, right, bottom = face.getbbox(letter)
    glyph = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
    ImageDraw.Draw(glyph).text((-left, -top), letter, font=face, fill=255)
    outline = glyph.getbbox()
    return glyph.crop(outline)


def _place(glyph: Image.Image, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return ``glyph`` on a 28x28 image, slightly rotated, sheared, scaled and moved."""
    rotation, shear, scale, right, down = generator.uniform(-1, 1, size=5)
    fit = min(_HEIGHT / glyph.height, _WIDTH / glyph.width)
    zoom = fit * _OVERSAMPLING * (1 + _MAX_SCALE * scale)
    angle = _MAX_ROTATION * rotation
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    # Pillow maps each pixel of the result to its source, hence the inverse.
    inverse = np.linalg.inv(zoom * turn @ np.array([[1.0, _MAX_SHEAR * shear], [0.0, 1.0]]))
    middle = _SIZE / 2 + _MAX_SHIFT * np.array([right, down])
    origin = np.array(glyph.size) / 2 - inverse @ (middle * _OVERSAMPLING)
    from PIL import Image  # noqa: PLC0415 - as above

    large = glyph.transform(
        (_SIZE * _OVERSAMPLING,) * 2,
        Image.Transform.AFFINE,
        (*inverse[0], origin[0], *inverse[1], origin[1]),
        resample=Image.Resampling.BILINEAR,
    )
    return np.asarray(large.resize((_SIZE, _SIZE), Image.Resampling.BOX), dtype=np.uint8)
