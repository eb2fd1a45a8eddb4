"""Users' own images in every format, clean, damaged and odd, as every engine meets them before it trains.

The local engine checks a run and loads its clients; in a simulation each SuperNode's ClientApp does; on a
real device the ClientApp loads the data folder that its node config names. Each is asked as its engine asks.
"""

import io
import re

import numpy as np
import pytest
from PIL import Image

from huscf_flwr.data import DataError, LabelledImages, write_idx, write_idx_folder
from huscf_flwr.flower.messages import DESCRIBE, DescribeReply, DescribeRequest
from huscf_flwr.flower.own_files import OwnFilesError
from huscf_flwr.methods import method_of
from huscf_flwr.run.check import check_run, population_for
from tests.data.formats.writing import (
    huggingface,
    some,
    write_huggingface,
    write_npz,
    write_pictures,
    write_table,
)
from tests.flower.handlers import ask, context
from tests.run.builders import small_run

TRAIN, TEST = some(30, size=8), some(6, size=8, seed=1)


def pictures(place, train, test):
    for part, data in (("train", train), ("test", test)):
        write_pictures(place / part, data)


def one_npz(place, train, test):
    place.mkdir()
    write_npz(place / "set.npz", train=train, test=test)


def tables(place, train, test):
    place.mkdir()
    write_table(place / "train.csv", train)
    write_table(place / "test.csv", test)


def mnist(place, train, test):
    write_idx_folder(place, train, test)


def emnist(place, train, test):
    place.mkdir()
    for part, data in (("train", train), ("test", test)):
        images = np.ascontiguousarray(data.images[:, 0].mT.numpy())
        write_idx(place / f"emnist-x-{part}-images-idx3-ubyte.gz", images)
        write_idx(place / f"emnist-x-{part}-labels-idx1-ubyte.gz", data.labels.numpy().astype(np.uint8))


def hugging_face(place, train, test):
    write_huggingface(place, train=huggingface(train), test=huggingface(test))


def cut_off(pattern):
    """Leave a file's first half."""

    def damage(place):
        path = min(place.glob(pattern))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def without_the_end_of_a_line(place):
    lines = (place / "train.csv").read_text().splitlines()
    lines[7] = lines[7].rpartition(",")[0]
    (place / "train.csv").write_text("\n".join(lines))


FORMATS = {
    "folders of pictures": (pictures, cut_off("train/a/*.png"), "cannot be decoded"),
    ".npz": (one_npz, cut_off("set.npz"), "damaged, or no file of NumPy"),
    "CSV": (tables, without_the_end_of_a_line, "line 8 has 64 values, and the first line 65"),
    "MNIST's files": (mnist, cut_off("train-images*"), "train-images"),
    "EMNIST's files": (emnist, cut_off("*train-images*"), "train-images"),
    "Hugging Face": (hugging_face, cut_off("train/*.arrow"), "damaged, or no data set of Hugging Face"),
}
"""How each is written, how it is damaged, and what is said then beside the place."""


def dark(data):
    return LabelledImages(data.images % 2, data.labels)


ODD = {
    "clean": (TRAIN, TEST, None),
    "bits for bytes": (dark(TRAIN), dark(TEST), "pixels end at 1, not at 255: multiply them by 255"),
    "bits beside bytes": (dark(TRAIN), TEST, "training pixels end at 1 and test pixels end at 2"),
    "the same images to train and to test with": (
        TRAIN,
        TRAIN,
        "30 of 30 test images are training images too",
    ),
    "a class with test images only": (some(30, classes=2, size=8), TEST, "only test images have: "),
}
"""Training images, test images, and what is said of them."""


def in_the_local_engine(place, tmp_path, caplog):
    """Return the numbers of images of the clients, and what the run tells."""
    population = check_run(run_of(place, tmp_path)).population
    return [len(population.images_of(client)) for client in range(2)], population.notes


def in_a_simulation(place, tmp_path, caplog):
    config = run_of(place, tmp_path)
    told = population_for(config, method_of(config), examine=True).notes
    return described((0, 1), config, context(config)), told


def on_a_supernode(place, tmp_path, caplog):
    config = run_of(place, tmp_path)
    node = {"data_folder": str(place), "state_folder": str(tmp_path / "state"), "class_names": "a,b,c"}
    return described((0,), config, context(config, client_id=0, **node)), caplog.messages


def described(clients, config, where):
    reply = DescribeReply.from_records(
        ask(DescribeRequest(clients=clients).to_records(), DESCRIBE, where), method_of(config)
    )
    return [each.samples for each in reply.clients.values()]


def run_of(place, tmp_path):
    settings = {
        "data.scenario": tmp_path / "own.yaml",
        "data.domains": "null",
        "model.classes": 3,
        "clients": 2,
    }
    (tmp_path / "own.yaml").write_text(f"domains: [{{name: own, folder: {place}, class_names: [a, b, c]}}]")
    return small_run(tmp_path, tmp_path, method="fedgan", **settings)


def as_pictures(place, files):
    for label, content in files.items():
        for number in range(10):
            path = place / "train" / label / f"{number}.{content[0]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content[1])


def as_hugging_face(place, files):
    datasets = pytest.importorskip("datasets")
    rows = [(content, place) for place, (_, content) in enumerate(files.values()) for _ in range(10)]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(files))}
    columns = {
        "image": [{"path": None, "bytes": content} for content, _ in rows],
        "label": [label for _, label in rows],
    }
    write_huggingface(place, train=datasets.Dataset.from_dict(columns, features=datasets.Features(features)))


def encoded(picture, suffix="png", **options):
    """The end of a file's name, and what is in the file."""
    file = io.BytesIO()
    picture.save(file, {"jpg": "JPEG"}.get(suffix, suffix), **options)
    return suffix, file.getvalue()


def picture(shape, mode=None, dtype=np.uint8):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape).astype(dtype), mode)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture((8, 8)), "jpg", exif=exif)


ODD_PICTURES = {
    "16 bits": lambda: encoded(Image.fromarray(257 * np.arange(64, dtype=np.uint16).reshape(8, 8))),
    "a palette": lambda: encoded(picture((8, 8, 3)).quantize(16)),
    "grey with alpha": lambda: encoded(picture((8, 8, 2), "LA")),
    "CMYK": lambda: encoded(picture((8, 8, 4), "CMYK"), "jpg"),
    "a turned camera": turned,
}

REFUSED_PICTURES = {
    "depths": lambda: encoded(Image.fromarray(np.ones((8, 8), np.float32)), "tiff"),
    "two frames": lambda: encoded(picture((8, 8)), "gif", save_all=True, append_images=[picture((8, 8, 3))]),
}


ENGINES = [in_the_local_engine, in_a_simulation, on_a_supernode]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("state", ODD)
def test_images_of_every_format_are_used_and_what_is_odd_is_told(form, state, engine, tmp_path, caplog):
    train, test, odd = ODD[state]
    write, *_ = FORMATS[form]
    write(tmp_path / "place", train, test)
    samples, told = engine(tmp_path / "place", tmp_path, caplog)
    assert sum(samples) == 30
    assert any("fewer than 50 training images of every class" in note for note in told)
    told = [note for note in told if not re.search("upright|fewer than", note)]
    assert [odd in note for note in told] == ([True] if odd else [])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", FORMATS)
def test_damaged_images_of_every_format_are_refused_by_their_place(form, engine, tmp_path, caplog):
    write, damage, said = FORMATS[form]
    write(tmp_path / "place", TRAIN, TEST)
    damage(tmp_path / "place")
    with pytest.raises((DataError, OwnFilesError)) as caught:
        engine(tmp_path / "place", tmp_path, caplog)
    told = str(caught.value)
    if engine is on_a_supernode:
        # The server learns of what kind the fault is; the owner's log has the rest.
        assert told.startswith("client 0: its images cannot be used, since they are damaged")
        assert not re.search(rf"{said}|{tmp_path}|ubyte|\.png|image \d|line", told)
        told = caplog.messages[-1]
    assert re.search(said, told)
    assert str(tmp_path / "place") in told


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("write", [as_pictures, as_hugging_face])
@pytest.mark.parametrize("odd", ODD_PICTURES)
def test_odd_pictures_are_read(odd, write, engine, tmp_path, caplog):
    """How they come out: tests/data/formats/test_pictures.py. One of five of each class is for testing."""
    write(tmp_path / "place", dict.fromkeys("abc", ODD_PICTURES[odd]()))
    samples, _ = engine(tmp_path / "place", tmp_path, caplog)
    assert sum(samples) == (30 if engine is on_a_supernode else 24)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("write", [as_pictures, as_hugging_face])
@pytest.mark.parametrize("odd", REFUSED_PICTURES)
def test_pictures_that_are_neither_grey_nor_colour_are_refused(odd, write, engine, tmp_path, caplog):
    write(tmp_path / "place", dict.fromkeys("abc", REFUSED_PICTURES[odd]()))
    with pytest.raises((DataError, OwnFilesError)) as caught:
        engine(tmp_path / "place", tmp_path, caplog)
    told = caplog.messages[-1] if engine is on_a_supernode else str(caught.value)
    assert re.search("2 frames|of kind F", told)
    assert str(tmp_path / "place") in told
