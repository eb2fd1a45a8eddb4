"""What pictures of a place differ in is said, with one of them."""

import numpy as np
import pytest
from PIL import Image

from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.image_folders import read_image_folder
from huscf_flwr.data.formats.places import read_place
from huscf_flwr.data.images import ImageForm
from tests.data.formats.writing import huggingface, some

GREY = Image.new("L", (4, 4), 7)
COLOUR = Image.new("RGB", (4, 4), "red")
OPAQUE = Image.new("RGBA", (4, 4), "red")
TALL = Image.new("L", (4, 6), 7)


def holed(mode):
    picture = Image.new("RGBA", (4, 4), "white")
    picture.putpixel((0, 0), (0, 0, 0, 0))
    return picture.convert(mode)


def notes_of(folder, *pictures, image=None):
    for number, picture in enumerate(pictures):
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        picture.save(folder / "ab"[number % 2] / f"{number}.png")
    found = read_image_folder(folder, Wanted(image))
    return [note.removeprefix(f"{folder}: ") for note in found.notes]


@pytest.mark.parametrize("pictures", [(GREY, GREY), (COLOUR, OPAQUE), (OPAQUE, OPAQUE)])
def test_of_pictures_that_are_alike_nothing_is_said(tmp_path, pictures):
    assert notes_of(tmp_path, *pictures) == []


@pytest.mark.parametrize("odd", [COLOUR, OPAQUE])
def test_a_few_in_colour_make_all_colour_and_this_is_said(tmp_path, odd):
    (note,) = notes_of(tmp_path, GREY, GREY, GREY, odd)
    assert note == (
        f"1 picture is stored in colour, such as {tmp_path}/b/3.png, and 3 in grey, such as "
        f"{tmp_path}/a/0.png: so the images count as colour"
    )


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_said_to_become_white(tmp_path, mode):
    (note,) = notes_of(tmp_path, *[holed(mode)] * 3)
    where = f"{tmp_path}/a/0.png"
    assert note == f"3 pictures are transparent in part, such as {where}: what is transparent becomes white"


def test_sizes_that_differ_are_said(tmp_path):
    (note,) = notes_of(tmp_path, GREY, TALL, image=ImageForm(1, 8))
    assert note == "pictures differ in size: 4 to 6 pixels high and 4 wide"


def deep(highest):
    return Image.fromarray(np.linspace(0, highest, 16).reshape(4, 4).astype(np.uint16))


@pytest.mark.parametrize("others", [(GREY, GREY), (deep(65535), deep(65535)), (deep(4096), GREY)])
def test_a_picture_of_16_bits_with_the_range_of_fewer_is_said_to_become_black(tmp_path, others):
    (note,) = notes_of(tmp_path, *others, deep(180))
    assert note == (
        f"1 picture of 16 bits ends at 180 of 65,535, such as {tmp_path}/a/2.png: it becomes nearly black; "
        "multiply the pixels until they end near 65,535, as those of 12 bits by 16"
    )


def test_several_of_them_are_counted_with_the_highest_of_their_ends(tmp_path):
    (note,) = notes_of(tmp_path, deep(180), GREY, deep(4095), deep(65535))
    assert note.startswith("2 pictures of 16 bits end at 4,095 of 65,535, such as ")
    assert f"{tmp_path}/a/0.png: they become nearly black" in note


@pytest.mark.parametrize("highest", [0, 4096, 65535])
def test_of_those_that_go_further_and_of_empty_ones_nothing_is_said(tmp_path, highest):
    assert notes_of(tmp_path, GREY, deep(highest)) == []


def test_so_it_is_with_pictures_of_hugging_face(tmp_path):
    data = huggingface(some(6))
    rows = data.to_dict()
    pictures = [Image.fromarray(np.zeros((6, 6), np.uint8))] * 5 + [holed("RGBA").resize((6, 6))]
    data.from_dict({**rows, "image": pictures}, features=data.features).save_to_disk(tmp_path / "set")
    said = "; ".join(read_place(tmp_path / "set", Wanted()).notes)
    assert "1 picture is stored in colour, such as" in said
    assert "1 picture is transparent in part, such as" in said
