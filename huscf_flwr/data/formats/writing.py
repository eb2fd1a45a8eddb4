"""Writing labelled images in each of the formats that can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from huscf_flwr.atomic_file import appearing
from huscf_flwr.data.class_folders import class_folders
from huscf_flwr.data.flower_partitioners import datasets_module
from huscf_flwr.data.formats.found import Wanted, labels_by_name
from huscf_flwr.data.formats.pictures import SUFFIXES
from huscf_flwr.data.idx import write_idx_folder
from huscf_flwr.data.images import DataError, LabelledImages
from huscf_flwr.data.progress import counted
from huscf_flwr.existing import check_file, check_folders_place, is_taken

_TAKEN = ("image", "label")
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "npz": (".npz",),
    "csv": (".csv", ".csv.gz"),
    "idx": (".idx",),
    "huggingface": (".parquet", ".arrow"),
    "pictures": SUFFIXES,
}
"""By format, how names end that would be taken for its own."""


def write_place(
    place: Path, form: str, train: LabelledImages, test: LabelledImages, class_names: Sequence[str] = ()
) -> tuple[str, ...]:
    """Write training and test images to ``place``, which must not be there yet, or be an empty folder.

    Returns what the format has no place for, a sentence each.

    Args:
        place: a folder, or for ``npz`` a file.
        form: one of ``WRITERS``.
        train: the training images.
        test: the test images.
        class_names: by label; folders of pictures are named so as far as folders can be (see
            ``class_folders``), and by numbers where there are none.

    Raises:
        DataError: if something is there already.
    """
    check_writable(place, form)
    height, width = train.images.shape[2:]
    if form == "csv" and height != width:
        raise DataError(
            f"{place}: a line of a CSV is a square of pixels, and these images have {height} x {width}: give "
            "a size, or another format"
        )
    with appearing(place) as temporary:
        WRITERS[form](temporary, train, test, class_names)
    return _not_kept(form, train, test, class_names)


def _not_kept(
    form: str, train: LabelledImages, test: LabelledImages, class_names: Sequence[str]
) -> tuple[str, ...]:
    """Return what is known of images and has no place in a format, a sentence each."""
    told = []
    columns = _other_columns(train, class_names)
    lost = [name for name in columns if form != "huggingface" or name in _TAKEN]
    if lost:
        why = "these names are taken" if form == "huggingface" else "only huggingface has a place for them"
        told.append(f"columns that are not kept: {', '.join(lost)}; {why}")
    if class_names and form not in ("huggingface", "pictures"):
        told.append(
            f"class names are not kept, since {form} has no place for them; say them with the domain: "
            f"class_names: {_as_yaml(class_names)}"
        )
    if class_names and form == "pictures":
        told += _not_kept_by_folders(class_names, class_folders(class_names, _classes(train, test)))
    return tuple(told)


def _not_kept_by_folders(class_names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Return what folders do not say of classes: names that no folder can have, and the order."""
    called = zip(class_names, folders, strict=False)
    other = [f"'{name}' is the folder '{folder}'" for name, folder in called if name != folder]
    told = [f"class names that no folder can have, or two would have: {', '.join(other)}"] if other else []
    if list(labels_by_name("", folders, Wanted(), "folder").items()) != [
        (folder, label) for label, folder in enumerate(folders)
    ]:
        told.append(
            "the order of the classes is not kept, since folders have the alphabet's; to keep their labels, "
            f"say it with the domain: class_names: {_as_yaml(folders)}"
        )
    return told


def _as_yaml(names: Sequence[str]) -> str:
    return yaml.safe_dump(list(names), default_flow_style=True, allow_unicode=True, width=2**31).strip()


def _classes(*parts: LabelledImages) -> int:
    return max((int(part.labels.max()) + 1 for part in parts if len(part)), default=0)


def _other_columns(data: LabelledImages, class_names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the columns that say more than the labels do."""
    labels = data.labels.tolist()
    names = [class_names[label] if label < len(class_names) else label for label in labels]
    return {name: values for name, values in data.columns.items() if values.tolist() not in (labels, names)}


def check_writable(place: Path, form: str) -> None:
    """Check, before anything is read, that ``write_place`` can write there.

    Nor may the name be one that another format would have: whoever sees it takes it for that. Raises
    ``DataError``, or ``UnusableFolderError`` where nothing can be written.
    """
    (check_file if form == "npz" else check_folders_place)(place)
    if is_taken(place):
        raise DataError(f"{place}: something is there already; give another place, or remove it")
    for other, endings in _ENDINGS.items():
        if other != form and place.name.casefold().endswith(endings):
            raise DataError(
                f"{place}: its name ends like that of {other}, but the format to write is {form}; give "
                f"another name, or {other}"
            )
    if form == "npz" and place.suffix != ".npz":
        raise DataError(f"{place}: the name of such a file ends in .npz; add it")


def _write_pictures(
    place: Path, train: LabelledImages, test: LabelledImages, class_names: Sequence[str]
) -> None:
    folders = class_folders(class_names, _classes(train, test))
    for folder in folders if class_names else ():
        # A class without images is one all the same, and its folder gives those behind it their labels.
        (place / "train" / folder).mkdir(parents=True)
    for part, data in (("train", train), ("test", test)):
        each = zip(_last(data), data.labels.tolist(), strict=True)
        for number, (pixels, label) in enumerate(counted(each, len(data), f"writing {place.name}/{part}")):
            folder = place / part / folders[label]
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
    classes = max(len(class_names), _classes(train, test))
    names = [class_names[label] if label < len(class_names) else str(label) for label in range(classes)]

    def made(data: LabelledImages) -> Any:
        columns = _other_columns(data, class_names)
        rows = {name: values.tolist() for name, values in columns.items() if name not in _TAKEN}
        rows |= {"image": [Image.fromarray(each) for each in _last(data)], "label": data.labels.tolist()}
        return datasets.Dataset.from_dict(rows).cast_column("label", datasets.ClassLabel(names=names))

    parts = {"train": train, **({"test": test} if len(test) else {})}
    datasets.disable_progress_bars()
    datasets.DatasetDict({part: made(data) for part, data in parts.items()}).save_to_disk(str(place))


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
