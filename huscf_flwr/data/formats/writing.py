"""Writing labelled images in each of the formats that can be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from huscf_flwr.data.flower_partitioners import datasets_module
from huscf_flwr.data.idx import write_idx_folder
from huscf_flwr.data.images import DataError, LabelledImages
from huscf_flwr.existing import is_taken

_UNSAFE = re.compile(r"[/\\\0]|^\.")


def write_place(
    place: Path, form: str, train: LabelledImages, test: LabelledImages, class_names: Sequence[str] = ()
) -> None:
    """Write training and test images to ``place``, which must not be there yet, or be an empty folder.

    Args:
        place: a folder, or for ``npz`` a file.
        form: one of ``WRITERS``.
        train: the training images.
        test: the test images.
        class_names: by label; folders of pictures are named so, and by numbers where there are none.

    Raises:
        DataError: if something is there already, or a name cannot be that of a folder.
    """
    check_writable(place, form)
    WRITERS[form](place, train, test, class_names)


def check_writable(place: Path, form: str) -> None:
    """Raise ``DataError`` if ``write_place`` could not write there, before anything is read."""
    if is_taken(place):
        raise DataError(f"{place}: something is there already; give another place, or remove it")
    if form == "npz" and place.suffix != ".npz":
        raise DataError(f"{place}: the name of such a file ends in .npz; add it")


def _write_pictures(
    place: Path, train: LabelledImages, test: LabelledImages, class_names: Sequence[str]
) -> None:
    for name in class_names:
        if _UNSAFE.search(name):
            raise DataError(f"class '{name}' cannot be the name of a folder; rename it")
    for part, data in (("train", train), ("test", test)):
        for number, (pixels, label) in enumerate(zip(_last(data), data.labels.tolist(), strict=True)):
            folder = place / part / (class_names[label] if label < len(class_names) else str(label))
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number:06}.png")


def _write_npz(
    place: Path,
    train: LabelledImages,
    test: LabelledImages,
    class_names: Sequence[str],  # noqa: ARG001 - no place
) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        place,
        train_images=_last(train),
        train_labels=train.labels.numpy()[:, None],
        test_images=_last(test),
        test_labels=test.labels.numpy()[:, None],
    )


def _write_csv(
    place: Path,
    train: LabelledImages,
    test: LabelledImages,
    class_names: Sequence[str],  # noqa: ARG001 - no place
) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for part, data in (("train", train), ("test", test)):
        pixels = _last(data).reshape(len(data), -1)
        header = ",".join(["label", *(f"pixel{number}" for number in range(pixels.shape[1]))])
        lines = np.hstack([data.labels.numpy()[:, None], pixels])
        np.savetxt(place / f"{part}.csv", lines, fmt="%d", delimiter=",", header=header, comments="")


def _write_idx(
    place: Path,
    train: LabelledImages,
    test: LabelledImages,
    class_names: Sequence[str],  # noqa: ARG001 - no place
) -> None:
    write_idx_folder(place, train, test)


def _write_huggingface(
    place: Path, train: LabelledImages, test: LabelledImages, class_names: Sequence[str]
) -> None:
    datasets = datasets_module("writing a data set of Hugging Face")
    classes = max(len(class_names), *(int(each.labels.max()) + 1 for each in (train, test) if len(each)))
    names = [class_names[label] if label < len(class_names) else str(label) for label in range(classes)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})

    def rows(data: LabelledImages) -> dict[str, list[Any]]:
        return {"image": [Image.fromarray(each) for each in _last(data)], "label": data.labels.tolist()}

    parts = {"train": train, **({"test": test} if len(test) else {})}
    made = {part: datasets.Dataset.from_dict(rows(data), features=features) for part, data in parts.items()}
    datasets.disable_progress_bars()
    datasets.DatasetDict(made).save_to_disk(str(place))


def _last(data: LabelledImages) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return images as [N, H, W], or [N, H, W, 3] in colour."""
    array = data.images.permute(0, 2, 3, 1).contiguous().numpy()
    return array[..., 0] if array.shape[3] == 1 else array


Writer = Callable[[Path, LabelledImages, LabelledImages, Sequence[str]], None]

WRITERS: Mapping[str, Writer] = {
    "pictures": _write_pictures,
    "npz": _write_npz,
    "csv": _write_csv,
    "idx": _write_idx,
    "huggingface": _write_huggingface,
}
"""By name of the format."""
