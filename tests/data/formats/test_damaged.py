"""Files with changed bytes, of every format: an error names the file, or there are images; nothing else."""

import gzip
import random
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from huscf_flwr.data import DataError, write_idx, write_idx_folder
from huscf_flwr.data.formats.damage import DamagedPicturesError
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.holders import read_holders
from huscf_flwr.data.formats.places import read_place, shape_of_place
from huscf_flwr.data.images import ImageForm
from tests.data.formats.writing import (
    channels_last,
    huggingface,
    some,
    write_huggingface,
    write_npz,
    write_pictures,
    write_table,
)

TRAIN, TEST = some(12), some(6, seed=1)
TRIES = 30

pytestmark = pytest.mark.filterwarnings("ignore")


def pictures(suffix, channels, **options):
    """Folders of pictures, whose cameras were turned if the format can say so."""

    def write(place):
        for number, pixels in enumerate(channels_last(some(6, channels=channels, size=9))):
            path = place / "abc"[number % 3] / f"{number}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, **options)

    return write


def turned():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "somebody"
    return exif


def one_npz(place):
    place.mkdir()
    write_npz(place / "set.npz", train=TRAIN, test=TEST)


def packed_npz(place):
    place.mkdir()
    np.savez_compressed(place / "a.npz", train_images=channels_last(TRAIN), train_labels=TRAIN.labels.numpy())


def tables(place):
    place.mkdir()
    write_table(place / "train.csv", TRAIN)
    write_table(place / "test.csv", TEST)


def packed_tables(place):
    tables(place)
    for path in list(place.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def packed_idx(place):
    write_idx_folder(place, TRAIN, TEST)


def idx(place):
    packed_idx(place)
    for path in list(place.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


def emnist(place):
    place.mkdir()
    for part, data in (("train", TRAIN), ("test", TEST)):
        write_idx(place / f"emnist-x-{part}-images-idx3-ubyte", data.images[:, 0].numpy())
        write_idx(place / f"emnist-x-{part}-labels-idx1-ubyte", data.labels.numpy().astype(np.uint8))
    (place / "emnist-x-mapping.txt").write_text("0 65 97\n1 66 98\n2 67 99\n")


def saved(place):
    write_huggingface(place, train=huggingface(TRAIN), test=huggingface(TEST))


def parquet(place):
    pytest.importorskip("datasets").disable_progress_bars()
    huggingface(TRAIN).to_parquet(str(place / "train.parquet"))


FORMATS = {
    "PNG": pictures("png", 1),
    "PNG, turned": pictures("png", 3, exif=turned()),
    "JPEG": pictures("jpg", 3, exif=turned()),
    "BMP": pictures("bmp", 3),
    "WebP": pictures("webp", 3, exif=turned()),
    "TIFF": pictures("tif", 1),
    "TIFF, turned": pictures("tiff", 3, exif=turned()),
    "PPM": pictures("ppm", 3),
    ".npz": one_npz,
    ".npz, packed": packed_npz,
    "CSV": tables,
    "CSV, packed": packed_tables,
    "MNIST's files": idx,
    "MNIST's files, packed": packed_idx,
    "EMNIST's files": emnist,
    "Hugging Face": saved,
    "Parquet": parquet,
}


def damaged(content, chance):
    """Return a file's bytes, of which some are changed, mostly at its beginning; or which end early."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 8])):
        reach = min(len(changed), chance.choice([16, 64, 10**6]))
        changed[chance.randrange(reach)] = chance.randrange(256)
    return bytes(changed[: chance.randrange(len(changed))] if chance.random() < 0.2 else changed)


@pytest.mark.parametrize("form", FORMATS)
def test_whatever_is_damaged_is_named_or_read(form, tmp_path):
    chance, place = random.Random(form), tmp_path / "place"
    FORMATS[form](place)
    files = sorted(path for path in place.rglob("*") if path.is_file())
    refused = 0
    for _ in range(TRIES):
        path = chance.choice(files)
        content = path.read_bytes()
        path.write_bytes(damaged(content, chance))
        try:
            found = read_place(place, Wanted())
        except DataError as error:
            refused += 1
            # Sizes of several files do not fit together, or labels: each of them is as good as the other.
            assert str(path) in str(error) or str(place) in str(error)
        else:
            assert len(found.train) > 0
        path.write_bytes(content)
    assert refused > TRIES / 4


@pytest.mark.parametrize("left", [0, 8, 100])
def test_a_damaged_picture_within_a_data_set_is_named_by_its_place(left, tmp_path):
    datasets = pytest.importorskip("datasets")
    pictures("tif", 1)(tmp_path / "pictures")
    content = (tmp_path / "pictures" / "a" / "0.tif").read_bytes()[:left]
    whole = (tmp_path / "pictures" / "a" / "0.tif").read_bytes()
    rows = {"image": [{"path": None, "bytes": each} for each in (content, whole)], "label": [0, 1]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    place = write_huggingface(tmp_path / "set", train=datasets.Dataset.from_dict(rows, features=features))
    with pytest.raises(DataError, match="train image 0: "):
        read_place(place, Wanted())


def test_a_tiff_whose_tags_are_damaged_is_named(tmp_path):
    """That of its pixels' place (273) is a text, which Pillow takes for a number: a `TypeError`."""
    pictures("tif", 3, exif=turned())(tmp_path / "x")
    path = tmp_path / "x" / "a" / "0.tif"
    content = bytearray(path.read_bytes())
    (tags,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, tags)
    each = [tags + 2 + 12 * number for number in range(count)]
    (strips,) = (place for place in each if struct.unpack_from("<H", content, place) == (273,))
    struct.pack_into("<H", content, strips + 2, 2)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"0\.tif: .*remove or replace it"):
        read_place(tmp_path / "x", Wanted())


CUT, EMPTIED, NO_PICTURE = 300, 0, None
"""What is left of a file of some hundred bytes: its header, nothing, or other bytes."""


def spoil(paths, left):
    for path in paths:
        content = path.read_bytes()
        path.write_bytes(b"no picture" if left is None else content[:left])


def whole_pictures(place, names="abc"):
    return write_pictures(place, some(30, size=28), names)


@pytest.mark.parametrize("left", [CUT, EMPTIED, NO_PICTURE])
@pytest.mark.parametrize("count", [1, 2, 5, 6, 30])
@pytest.mark.parametrize("form", [None, ImageForm(1, 8)])
def test_all_damaged_pictures_are_found_at_once_and_the_first_few_named(left, count, form, tmp_path):
    whole_pictures(tmp_path / "train")
    paths = sorted(whole_pictures(tmp_path / "test").rglob("*.png"))
    spoil(paths[:count], left)
    with pytest.raises(DamagedPicturesError) as caught:
        read_place(tmp_path, Wanted(form))
    assert list(caught.value.faults) == [str(path) for path in paths[:count]]
    message = str(caught.value)
    assert [str(path) in message for path in paths] == [place < min(count, 5) for place in range(30)]
    assert ("cannot be read" in message) == (count > 1)
    assert (f"{count} pictures" in message) == (count > 1)
    assert (f"and {count - 5} more" in message) == (count > 5)


def test_damaged_pictures_of_both_parts_and_of_all_holders_are_named_at_once(tmp_path):
    spoiled = []
    for holder in ("ann", "bob"):
        for part in ("train", "test"):
            spoiled.append(sorted(whole_pictures(tmp_path / holder / part).rglob("*.png"))[7])
    whole_pictures(tmp_path / "cy" / "train")
    spoil(spoiled, CUT)
    with pytest.raises(DamagedPicturesError) as caught:
        read_holders(tmp_path, Wanted())
    assert sorted(caught.value.faults) == sorted(map(str, spoiled))


def test_damaged_pictures_of_a_data_set_are_named_at_once(tmp_path):
    """One has a header, one is no picture, and of one nothing is there."""
    datasets = pytest.importorskip("datasets")
    content = next(iter(sorted(whole_pictures(tmp_path / "x").rglob("*.png")))).read_bytes()
    images = [*({"path": None, "bytes": each} for each in (content, content[:CUT], b"?")), None]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": images, "label": [0, 1, 0, 1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    place = write_huggingface(tmp_path / "set", train=data, test=data)
    with pytest.raises(DamagedPicturesError) as caught:
        read_place(place, Wanted())
    named = [f"{place}, {part} image {number}" for part in ("train", "test") for number in (1, 2, 3)]
    assert list(caught.value.faults) == named


def test_a_few_damaged_pictures_do_not_hide_the_shape_of_the_others(tmp_path):
    spoil(sorted(whole_pictures(tmp_path).rglob("*.png"))[:7], NO_PICTURE)
    assert shape_of_place(tmp_path) == (1, 28, 28)


@pytest.mark.parametrize(("place", "value"), [(8, 99), (6, 1)])
def test_an_archive_with_a_changed_byte_is_named(place, value, tmp_path):
    """That says that it is packed in a way that nobody knows, or that it is encrypted."""
    path = write_npz(tmp_path / "a.npz", train=TRAIN)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + place + 2] = value
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: damaged"):
        read_place(path, Wanted())


def test_of_several_files_of_hugging_face_the_damaged_one_is_named(tmp_path):
    parquet(tmp_path)
    (tmp_path / "test.parquet").write_bytes((tmp_path / "train.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"test\.parquet: damaged"):
        read_place(tmp_path, Wanted())


def test_one_array_under_the_name_of_an_archive_is_named(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, channels_last(TRAIN))
    with pytest.raises(DataError, match=r"a\.npz: one array, not an archive"):
        read_place(tmp_path / "a.npz", Wanted())


def test_the_file_whose_size_is_not_that_of_the_others_is_named(tmp_path):
    write_pictures(tmp_path, TRAIN)
    Image.new("L", (7, 5)).save(tmp_path / "b" / "other.png")
    with pytest.raises(DataError, match=rf"2 different sizes, 5 x 7 in {tmp_path}/b/other\.png"):
        read_place(tmp_path, Wanted())


def test_sixteen_bits_are_scaled_by_every_version_of_pillow_even_turned(tmp_path, monkeypatch):
    """Until 11.3 Pillow called such a PNG `I`, and a picture that it has turned has no format."""
    pixels = np.array([[0, 65535], [257, 51400]], dtype=np.uint16)
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(pixels).save(tmp_path / label / "0.png", exif=turned())
    monkeypatch.setitem(PngImagePlugin._MODES, (16, 0), ("I", "I;16B"))
    assert Image.open(tmp_path / "a" / "0.png").mode == "I"
    found = read_place(tmp_path, Wanted(), split_test=False)
    assert found.train.images[0].tolist() == [[[1, 0], [200, 255]]]
