"""Which format a place has, chosen by what is found there: by content where names may mislead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from huscf_flwr.data.formats.found import Found, ImageShape, Wanted
from huscf_flwr.data.formats.huggingface import (
    huggingface_class_names,
    huggingface_label_limit,
    read_huggingface,
    shape_of_huggingface,
)
from huscf_flwr.data.formats.huggingface_parts import HubSet, files_of, is_huggingface_file, is_saved
from huscf_flwr.data.formats.image_folders import (
    holds_classes,
    image_folder_class_names,
    image_folder_label_limit,
    is_image_folder,
    loose_pictures,
    read_image_folder,
    shape_of_image_folder,
)
from huscf_flwr.data.formats.npz import has_training_part, npz_label_limit, read_npz, shape_of_npz
from huscf_flwr.data.formats.pictures import SUFFIXES
from huscf_flwr.data.formats.pixel_tables import (
    are_pixels,
    is_table,
    read_tables,
    shape_of_tables,
    table_label_limit,
    tables_of,
)
from huscf_flwr.data.idx import IdxFiles, idx_files, idx_label_limit, read_idx_folder, shape_of_idx
from huscf_flwr.data.images import DataError
from huscf_flwr.home import home_expanded
from huscf_flwr.naming import by_count, first_few

FORMATS = (
    "folders of pictures, one a class, with or without train and test above",
    "an .npz with train_images, train_labels, test_images and test_labels",
    "a .csv of label and pixels",
    "files with MNIST's or EMNIST's names (train-images-idx3-ubyte and so on)",
    "a data set of Hugging Face, as save_to_disk writes it, or .parquet or .arrow files",
)
"""What can be read, in words."""

Place = Path | HubSet
"""A folder or file, or a data set on Hugging Face's hub."""


def place_named(name: str) -> Place:
    """Return the place that people name: ``hub:NAME`` is a data set on the hub, ``~`` the home folder.

    Raises:
        DataError: if nothing is named.
    """
    return HubSet.parse(name.removeprefix("hub:")) if name.startswith("hub:") else home_expanded(name)


@dataclass(frozen=True)
class Format:
    """A format that a place has, and where in it the images are."""

    name: str
    shape: Callable[[Wanted], ImageShape]
    read: Callable[[Wanted], Found]
    label_limit: Callable[[Wanted], int]
    """One more than the largest training label."""
    class_names: Callable[[Wanted], tuple[str, ...]] = lambda wanted: wanted.class_names
    """Names of the classes by label; empty if there are only numbers."""
    columns: tuple[str, ...] = ()
    """Which of ``image_column`` and ``label_column`` can be said of it."""
    files: tuple[str, ...] = ()
    """What it is called where another format of the same folder is taken: mostly names of files."""
    is_certain: bool = True
    """Whether not only names say so: what is read is there, and is not something else."""
    refusal: str | None = None
    """Why it cannot be read, though it is there."""
    notes: tuple[str, ...] = ()
    """What was passed over, a sentence each."""


def format_of(place: Place) -> Format:
    """Return which format a place has.

    Of a folder that has several, the first is taken whose content is certain, in the order of ``_LOOKS``:
    an unrelated table or archive beside folders of pictures hides nothing.

    Raises:
        DataError: if it has none that is known, or it is not plain which file is meant.
    """
    if isinstance(place, HubSet):
        return _of_huggingface(place, "a data set on Hugging Face's hub")
    if place.exists() and not place.is_dir():
        return _format_of_file(place)
    if not place.exists():
        # One of several of EMNIST's sets in a folder is named like a folder in it.
        found = _idx_in(place)
        if found is None:
            raise DataError(f"{place}: no such folder or file; correct the path")
        return found
    return _format_of_folder(place)


def _format_of_folder(place: Path) -> Format:
    there = [found for look in _LOOKS if (found := look(place)) is not None]
    if not there:
        raise DataError(_nothing_in(place))
    chosen = next((each for each in there if each.is_certain), there[0])
    if chosen.refusal is not None:
        raise DataError(chosen.refusal)
    others = [name for each in there if each is not chosen for name in each.files]
    if not others:
        return chosen
    note = f"{place}: read as {chosen.name}; not looked at: {first_few(others)}"
    return replace(chosen, notes=(*chosen.notes, note))


def _idx_in(place: Path) -> Format | None:
    files = idx_files(place)
    if files is None:
        return None
    return Format(
        "files with MNIST's names",
        lambda _: ImageShape(*shape_of_idx(files)),
        lambda wanted: _read_idx(place, files, wanted),
        lambda _: idx_label_limit(files),
        lambda wanted: wanted.class_names or files.class_names(wanted.first_label),
        files=("files with MNIST's names",),
        is_certain=files.has_training_part,
    )


def _saved_in(place: Path) -> Format | None:
    return _of_huggingface(place, "a data set of Hugging Face") if is_saved(place) else None


def _npz_in(place: Path) -> Format | None:
    archives = sorted(path for path in place.glob("*.npz") if not path.name.startswith("."))
    if not archives:
        return None
    meant = [path for path in archives if has_training_part(path)] if len(archives) > 1 else archives
    names = tuple(path.name for path in archives)
    if len(meant) == 1:
        unread = tuple(f"{path} is not looked at" for path in archives if path not in meant)
        return replace(_of_npz(meant[0]), files=names, is_certain=has_training_part(meant[0]), notes=unread)
    refusal = (
        f"{place}: {len(archives)} .npz files; give one of them ({first_few(names)}), or set data.root "
        "to the folder and name each as a domain, or say by_holder: true with the domain if each is what one "
        "holder has"
    )
    return replace(_of_npz(archives[0]), files=names, is_certain=False, refusal=refusal)


def _tables_in(place: Path) -> Format | None:
    tables = tables_of(place)
    if not tables:
        return None
    return replace(_of_tables(place), files=tuple(path.name for path in tables), is_certain=are_pixels(place))


def _pictures_in(place: Path) -> Format | None:
    if not is_image_folder(place):
        return None
    return Format(
        "folders of pictures",
        lambda _: shape_of_image_folder(place),
        lambda wanted: read_image_folder(place, wanted),
        lambda wanted: image_folder_label_limit(place, wanted),
        lambda wanted: image_folder_class_names(place, wanted),
        files=("folders of pictures",),
        is_certain=holds_classes(place),
    )


def _arrow_in(place: Path) -> Format | None:
    # What save_to_disk has written has such files too.
    files = [] if is_saved(place) else files_of(place)
    if not files:
        return None
    return replace(
        _of_huggingface(place, "files of Hugging Face's"), files=tuple(path.name for path in files)
    )


_LOOKS: tuple[Callable[[Path], Format | None], ...] = (
    _idx_in,
    _saved_in,
    _npz_in,
    _pictures_in,
    _tables_in,
    _arrow_in,
)
"""What is looked for in a folder, the least likely to be something else first."""


def _format_of_file(path: Path) -> Format:
    suffix = path.suffix.casefold()
    if suffix == ".npz":
        return _of_npz(path)
    if is_table(path):
        return _of_tables(path)
    if is_huggingface_file(path):
        return _of_huggingface(path, "a file of Hugging Face's")
    instead = {
        ".npy": "write images and labels into one file with numpy.savez",
        ".zip": "unpack it, and give the folder",
        ".tar": "unpack it, and give the folder",
        ".gz": "give the folder that it lies in",
        **dict.fromkeys(SUFFIXES, "give the folder that has one folder of pictures for each class"),
    }.get(suffix, "give the folder that it lies in, or one of these")
    raise DataError(
        f"{path}: not a file of images with labels that can be read; {instead}. Known: {_known()}"
    )


def _of_npz(path: Path) -> Format:
    return Format(
        ".npz",
        lambda _: shape_of_npz(path),
        lambda wanted: read_npz(path, wanted),
        lambda _: npz_label_limit(path),
    )


def _of_tables(place: Path) -> Format:
    return Format(
        "CSV",
        lambda wanted: shape_of_tables(place, wanted),
        lambda wanted: read_tables(place, wanted),
        lambda wanted: table_label_limit(place, wanted),
        columns=("label_column",),
    )


def _of_huggingface(place: Place, name: str) -> Format:
    return Format(
        name,
        lambda wanted: shape_of_huggingface(place, wanted),
        lambda wanted: read_huggingface(place, wanted),
        lambda wanted: huggingface_label_limit(place, wanted),
        lambda wanted: huggingface_class_names(place, wanted),
        columns=("image_column", "label_column"),
    )


def _nothing_in(folder: Path) -> str:
    for place, count in loose_pictures(folder).items():
        lie = by_count(count, "picture lies", "pictures lie")
        return (
            f"{place}: {count:,} {lie} directly in it, and nothing says of what class; put "
            f"{by_count(count, 'it', 'each')} into a folder of its class"
        )
    return f"{folder}: no images in it that can be read. Known: {_known()}"


def _known() -> str:
    return "; ".join(FORMATS)


def _read_idx(place: Path, files: IdxFiles, wanted: Wanted) -> Found:
    train, test = read_idx_folder(place, wanted.label_limit, needs_test=wanted.needs_test and files.has_test)
    names = wanted.class_names or files.class_names(wanted.first_label)
    turned = f"{place}: EMNIST keeps images on their side; they are turned upright"
    return Found(train, test if files.has_test else None, names, (turned,) if files.set else ())
