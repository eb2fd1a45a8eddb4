"""CSV files whose labels are not where, or not called as, they mostly are, and columns that are no pixels."""

import re

import numpy as np
import pytest
import torch

from huscf_flwr.data import LabelledImages
from huscf_flwr.data.formats import pixel_tables
from huscf_flwr.data.formats.found import ImageShape, Wanted
from huscf_flwr.data.formats.places import classes_of_place, read_place, shape_of_place
from huscf_flwr.data.images import DataError, together
from tests.data.formats.writing import same, some, write_table

ANY = Wanted()
DATA = some(30, size=4)


def table(path, data, *, label_at=0, header="", ids=()):
    """Write a file with the label at ``label_at`` among the pixels, and columns of ``ids`` in front."""
    pixels = data.images.permute(0, 2, 3, 1).reshape(len(data), -1).numpy()
    rows = np.insert(pixels.astype(int), label_at, data.labels.numpy(), axis=1).tolist()
    lines = [",".join(map(str, [*(number for _ in ids), *row])) for number, row in enumerate(rows)]
    path.write_text("\n".join([header, *lines] if header else lines))
    return path


def pixel_names(count, label_at, label):
    names = [f"pixel{number}" for number in range(count)]
    return [*names[:label_at], label, *names[label_at:]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("label", ["digit", "Kind of animal", "last"])
@pytest.mark.parametrize("label_at", [0, 5, 16])
def test_the_label_is_in_the_column_that_is_named(label, label_at, channels, tmp_path):
    data = some(12, size=4, channels=channels)
    header = ",".join(pixel_names(16 * channels, label_at, label))
    path = table(tmp_path / "a.csv", data, label_at=label_at, header=header)
    wanted = Wanted(label_column=label.upper())
    found = read_place(path, wanted)
    assert same(together([found.train, found.test]), data)
    assert shape_of_place(path, wanted) == ImageShape(channels, 4, 4)
    assert classes_of_place(path, wanted) == 3
    with pytest.raises(DataError, match=r"(called|no column) 'label'.*label_column with the domain"):
        read_place(path, ANY)


@pytest.mark.parametrize("above", ["", "\n\n"])
def test_a_file_is_opened_once_to_learn_of_its_columns(above, tmp_path, monkeypatch):
    path = table(tmp_path / "a.csv", DATA, header=",".join(pixel_names(16, 0, "label")) + above)
    opened, read = [], pixel_tables._lines_of
    monkeypatch.setattr(pixel_tables, "_lines_of", lambda path: opened.append(path) or read(path))
    assert shape_of_place(path, Wanted(label_column="label")) == (1, 4, 4)
    assert opened == [path]


def test_a_named_column_goes_before_one_that_is_called_label(tmp_path):
    """Of two, the other is a pixel, as far as anybody can see."""
    header = ",".join(["label", *(f"p{number}" for number in range(15)), "kind"])
    path = table(tmp_path / "a.csv", DATA, label_at=16, header=header)
    assert same(read_place(path, Wanted(label_column="kind"), split_test=False).train, DATA)


@pytest.mark.parametrize(("said", "label_at"), [(None, 0), ("first", 0), ("last", 16), ("LAST", 16)])
def test_without_a_header_the_label_is_first_or_last_as_is_said(said, label_at, tmp_path):
    path = table(tmp_path / "a.csv", DATA, label_at=label_at)
    wanted = Wanted(label_column=said)
    found = read_place(path, wanted, split_test=False)
    assert same(found.train, DATA)
    assert classes_of_place(path, wanted) == 3
    # Whoever has said it need not be told.
    assert found.notes == (
        ()
        if said
        else (f"{path}: it has no header, so the first number of each line is taken for its label",)
    )


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    named = write_table(tmp_path / "a.csv", DATA)
    with pytest.raises(DataError, match=r"called 'labels' \(did you mean 'label'\?\).*--label-column"):
        read_place(named, Wanted(label_column="labels"))
    square = tmp_path / "b.csv"
    square.write_text("kind,p0,p1\n0,1,2\n1,2,3\n")
    with pytest.raises(DataError, match=r"no column 'kinds' .*'kind'.*, but kind, p0, p1; give the file"):
        read_place(square, Wanted(label_column="kinds"))
    bare = write_table(tmp_path / "c.csv", DATA, header=False)
    with pytest.raises(DataError, match="label_column is 'kind', but its first line is no header; say first"):
        read_place(bare, Wanted(label_column="kind"))


@pytest.mark.parametrize("ids", [("id",), ("id", "Usage")])
def test_columns_that_are_no_pixels_are_named_and_what_is_left_without_them_is_read(ids, tmp_path):
    names = pixel_names(16, 0, "label")
    path = table(tmp_path / "a.csv", DATA, header=",".join([*ids, *names]), ids=ids)
    said = f"seems? to be no pixels?: {', '.join(ids)}; leave out what is none"
    with pytest.raises(DataError, match=rf"{16 + len(ids)} pixels a line .*; {len(ids)} columns? {said}"):
        read_place(path, ANY)
    lines = [line.split(",", len(ids))[len(ids)] for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    assert same(read_place(path, ANY, split_test=False).train, DATA)


@pytest.mark.parametrize("names", ["label,1x1,1x2", "label,red,green", "0,1,2"])
def test_no_column_is_called_none_where_all_or_none_look_so(names, tmp_path):
    (tmp_path / "a.csv").write_text(f"{names}\n0,1,2\n")
    with pytest.raises(DataError, match=r"colour square; write images of other forms as \.npz"):
        read_place(tmp_path / "a.csv", ANY)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("header", ["emotion,pixels,Usage\n", "pixels,label,Usage\n", ""])
def test_pixels_in_one_column_are_not_read_and_what_is_to_be_written_is_read(
    header, channels, tmp_path, monkeypatch
):
    """The form of FER2013."""
    monkeypatch.chdir(tmp_path)
    data = some(9, size=4, channels=channels)
    columns = [" ".join(map(str, image.permute(1, 2, 0).flatten().tolist())) for image in data.images]
    parts = [
        (column, label) if header.startswith("pixels") else (label, column)
        for column, label in zip(columns, data.labels.tolist(), strict=True)
    ]
    lines = "\n".join(f"{one},{other},Training" for one, other in parts)
    (tmp_path / "fer2013.csv").write_text(header + lines)
    with pytest.raises(DataError) as caught:
        read_place(tmp_path / "fer2013.csv", ANY)
    assert f"column {chr(39) + 'pixels' + chr(39) if header else 2} has all pixels of an image" in str(
        caught.value
    )
    (written,) = re.findall(r"or write (numpy\.savez.*)", str(caught.value))
    exec(written, {"numpy": np, "COLUMN": columns, "LABELS": data.labels.numpy()})
    assert same(read_place(tmp_path / "fer2013.npz", ANY, split_test=False).train, data)


def test_first_numbers_that_look_like_pixels_are_doubted(tmp_path):
    """More classes than a tenth of the images, and neither where they are few nor where that is said."""
    images = LabelledImages(some(60, size=4).images, torch.arange(60) * 4)
    doubtful = table(tmp_path / "a.csv", images)
    (note, *_) = read_place(doubtful, ANY, split_test=False).notes
    assert "these are 60 classes of 60 images, as of pixels" in note
    assert "--label-column last" in note
    for path, wanted in (
        (table(tmp_path / "b.csv", LabelledImages(images.images, torch.arange(60) % 3)), ANY),
        (table(tmp_path / "c.csv", LabelledImages(images.images[:9], torch.arange(9))), ANY),
        (doubtful, Wanted(label_column="first")),
    ):
        notes = read_place(path, wanted, split_test=False).notes
        assert not any("as of pixels" in each for each in notes)
