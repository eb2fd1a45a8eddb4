"""Pictures of every kind that Pillow opens come out as a person sees them, or are refused by name."""

import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from huscf_flwr.data import DataError
from huscf_flwr.data.formats.pictures import read_picture, shape_of_picture

GREY = [[0, 255], [51, 204]]
RED_AND_BLUE = [[[255, 0, 0], [0, 0, 255]]]


def grey(dtype=np.uint8):
    return np.array(GREY, dtype=dtype)


def palette_picture(colours):
    picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    picture.putpalette([value for colour in colours for value in colour])
    return picture


def saved(tmp_path, picture, suffix="png", **options):
    path = tmp_path / f"one.{suffix}"
    picture.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(Image.fromarray(grey()), GREY, id="8 bits"),
        pytest.param(Image.fromarray(grey() > 100).convert("1"), [[0, 255], [0, 255]], id="1 bit"),
        pytest.param(Image.fromarray(grey(np.uint16) * 257), GREY, id="16 bits"),
        pytest.param(palette_picture([(7, 7, 7), (9, 9, 9)]), [[7, 9]], id="palette of greys"),
        pytest.param(
            Image.fromarray(np.array([[[80, 255], [80, 0]]], dtype=np.uint8), "LA"), [[80, 255]], id="alpha"
        ),
    ],
)
def test_grey_pngs_have_one_channel(picture, expected, tmp_path):
    path = saved(tmp_path, picture)
    read = read_picture(path)
    assert read.dtype == torch.uint8
    assert read.tolist() == [expected]
    assert shape_of_picture(path) == tuple(read.shape)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(Image.fromarray(np.array(RED_AND_BLUE, dtype=np.uint8)), RED_AND_BLUE, id="RGB"),
        pytest.param(palette_picture([(255, 0, 0), (0, 0, 255)]), RED_AND_BLUE, id="palette"),
        pytest.param(
            Image.fromarray(np.array([[[255, 0, 0, 255], [0, 0, 0, 0]]], dtype=np.uint8), "RGBA"),
            [[[255, 0, 0], [255, 255, 255]]],
            id="RGBA: what is transparent is white",
        ),
    ],
)
def test_colour_pngs_have_three_channels(picture, expected, tmp_path):
    path = saved(tmp_path, picture)
    read = read_picture(path)
    assert read.permute(1, 2, 0).tolist() == expected
    assert shape_of_picture(path) == tuple(read.shape)


def test_a_colour_that_a_palette_calls_transparent_is_white(tmp_path):
    path = saved(tmp_path, palette_picture([(255, 0, 0), (0, 0, 255)]), transparency=1)
    assert read_picture(path).permute(1, 2, 0).tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_a_jpeg_for_printers_has_the_colours_of_the_screen(tmp_path):
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    read = read_picture(saved(tmp_path, red, "jpg", quality=95))
    assert (read.int() - torch.tensor([255, 0, 0])[:, None, None]).abs().max() < 8


def test_a_photograph_of_a_turned_camera_is_upright(tmp_path):
    """Orientation 6: the camera was turned left, so the picture must be turned right."""
    lying = np.zeros((8, 16), dtype=np.uint8)
    lying[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.fromarray(lying), "jpg", quality=95, exif=exif)
    upright = read_picture(path)
    assert upright.shape == shape_of_picture(path) == (1, 16, 8)
    assert upright[0, :6].max() < 16
    assert upright[0, 10:].min() > 240


def animated(path):
    Image.new("L", (2, 2)).save(path, save_all=True, append_images=[Image.new("L", (2, 2), 255)])


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.png", lambda path: path.write_text("<html>"), "not a picture"),
        ("a.png", lambda path: path.touch(), "not a picture"),
        ("a.gif", animated, "2 frames"),
        ("a.tif", lambda path: Image.fromarray(np.ones((2, 2), np.float32)).save(path), "of kind F"),
        ("a.tif", lambda path: Image.fromarray(np.ones((2, 2), np.int32)).save(path), "of kind I"),
    ],
)
def test_what_is_no_picture_of_grey_or_colour_is_refused_by_name(name, write, message, tmp_path):
    write(tmp_path / name)
    with pytest.raises(DataError, match=message) as caught:
        read_picture(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_picture_that_is_cut_off_is_refused_by_name(suffix, share, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), suffix)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"one.*remove or replace it"):
        read_picture(path)


def test_a_picture_whose_head_is_cut_is_refused_by_name(tmp_path):
    """A header that says that it is shorter than it is."""
    path = saved(tmp_path, Image.fromarray(grey()))
    content = path.read_bytes()
    head = b"IHDR" + content[16:20]
    chunk = (4).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")
    path.write_bytes(content[:8] + chunk + content[33:])
    with pytest.raises(DataError, match=r"one\.png: .*remove or replace it"):
        read_picture(path)
