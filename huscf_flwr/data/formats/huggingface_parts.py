"""Opening a data set of Hugging Face, from disk or by name: its parts, and which column is what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.data.flower_partitioners import datasets_module
from huscf_flwr.data.formats.found import LABEL_NAMES, PART_NAMES, Wanted, named_if_damaged
from huscf_flwr.data.formats.pictures import EncodedPicture
from huscf_flwr.data.images import DataError
from huscf_flwr.data.progress import counted

_IMAGE_NAMES = ("image", "img", "images", "picture", "pixels")
SUFFIXES = (".parquet", ".arrow")
"""How names of its files end, in lower case."""


@dataclass(frozen=True)
class HubSet:
    """A data set on the hub.

    Attributes:
        name: such as ``ylecun/mnist``.
        subset: of those that have several, such as a language.
    """

    name: str
    subset: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubSet:
        """Return the data set that ``NAME`` or ``NAME:SUBSET`` names."""
        name, _, subset = text.partition(":")
        if not name.strip("./"):
            raise DataError(f"hub:{text}: no data set is named; write hub:NAME, such as hub:ylecun/mnist")
        return cls(name, subset or None)

    def __str__(self) -> str:
        return f"hub:{self.name}" + (f":{self.subset}" if self.subset else "")


Source = Path | HubSet
"""Where a data set of Hugging Face is."""


@dataclass(frozen=True)
class Parts:
    """The parts of a data set, of which the training part is there, with the columns that are looked at."""

    source: Source
    by_name: Mapping[str, Any]
    ignored: tuple[str, ...]
    image: str
    label: str

    @property
    def train(self) -> Any:
        """The ``datasets.Dataset`` to train on."""
        return self.by_name["train"]

    def pictures(self, part: str, places: Sequence[int] | None = None) -> Iterator[EncodedPicture]:
        """Yield the encoded pictures of a part, or those at some places."""
        datasets = datasets_module(str(self.source))
        data = self.by_name[part].select_columns([self.image])
        if places is not None:
            data = data.select(places)
        for number, row in enumerate(data.cast_column(self.image, datasets.Image(decode=False))):
            place = number if places is None else places[number]
            yield _encoded(f"{self.source}, {part} image {place}", row[self.image], self.source)

    @property
    def has_pictures(self) -> bool:
        """Whether images are encoded, as in files, and not arrays of pixels."""
        return _is_picture(self.train.features[self.image])


def is_saved(folder: Path) -> bool:
    """Return whether ``save_to_disk`` has written ``folder``."""
    is_one_part = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return is_one_part or (folder / "dataset_dict.json").is_file()


def files_of(folder: Path) -> list[Path]:
    """Return the Parquet and Arrow files of a folder, or of its folder ``data``."""
    for each in (folder, folder / "data"):
        files = [path for path in each.iterdir() if is_huggingface_file(path)] if each.is_dir() else []
        if files:
            return sorted(path for path in files if not path.name.startswith("."))
    return []


def is_huggingface_file(path: Path) -> bool:
    """Return whether a file's name says that it is Parquet or Arrow."""
    return path.suffix.casefold() in SUFFIXES


def read_errors(source: Source) -> AbstractContextManager[None]:
    """Say of which place an error of Arrow's or of the hub's is; both have many kinds of them."""
    if isinstance(source, HubSet):
        return named_if_damaged(
            source,
            "cannot be loaded",
            "check the name and the network, or give a folder that save_to_disk has written",
            with_kind=True,
        )
    return named_if_damaged(source, "damaged, or no data set of Hugging Face", "write or copy it again")


def opened(source: Source, wanted: Wanted) -> Parts:
    """Open the parts of a data set, without reading their images.

    Raises:
        DataError: if there is nothing to train on, or it is not plain which column is what.
    """
    by_split = _splits(source)
    parts: dict[str, Any] = {}
    for part, names in PART_NAMES.items():
        there = [split for split in by_split if split.casefold() in names]
        parts |= {part: by_split.pop(there[0])} if there else {}
    if "train" not in parts and len(by_split) == 1 and not parts:
        parts["train"] = by_split.popitem()[1]
    if "train" not in parts or not len(parts["train"]):
        splits = ", ".join([*parts, *by_split]) or "nothing"
        raise DataError(f"{source}: no images to train on; it has {splits}, and needs a split called train")
    features = parts["train"].features
    image = _column(source, "image", features, wanted.image_column, _is_picture, _IMAGE_NAMES)
    label = _column(source, "label", features, wanted.label_column, is_class, LABEL_NAMES)
    return Parts(source, parts, tuple(by_split), image, label)


def _splits(source: Source) -> dict[str, Any]:
    """Return what there is by the name of its split."""
    datasets = datasets_module(str(source))
    if isinstance(source, HubSet):
        if Path(source.name).exists():
            raise DataError(
                f"{source}: {Path(source.name).absolute()} is there too, and would be taken instead of what "
                "the hub has. If that is meant, give its path, without hub:; else start from another folder"
            )
        return dict(datasets.load_dataset(source.name, source.subset))
    if source.is_dir() and is_saved(source):
        found = datasets.load_from_disk(str(source))
        return {"train": found} if isinstance(found, datasets.Dataset) else dict(found)
    files: dict[str, list[Path]] = {}
    for path in [source] if source.is_file() else files_of(source):
        files.setdefault(_part_of(path) if source.is_dir() else "train", []).append(path)
    return {
        part: datasets.concatenate_datasets(
            [_of_file(datasets, path) for path in counted(paths, len(paths), f"opening files of {source}")]
        )
        for part, paths in files.items()
    }


def _part_of(path: Path) -> str:
    """Return the part that a file's name is of; one that names no part is to train on."""
    words = path.stem.casefold().replace("_", "-").replace(".", "-").split("-")
    return next((part for part, names in PART_NAMES.items() if not set(names).isdisjoint(words)), "train")


def _of_file(datasets: Any, path: Path) -> Any:
    """Return what a file has, without a copy of it in a cache."""
    with read_errors(path):
        if path.suffix.casefold() == ".arrow":
            return datasets.Dataset.from_file(str(path))
        from pyarrow import parquet  # noqa: PLC0415 - comes with the extra

        return datasets.Dataset(parquet.read_table(path))


def _column(
    source: Source,
    what: str,
    features: Mapping[str, Any],
    said: str | None,
    is_one: Callable[[Any], bool],
    names: Sequence[str],
) -> str:
    """Return the column of images or of labels."""
    if said is not None:
        if said not in features:
            raise DataError(
                f"{source}: {what}_column is {said}{did_you_mean(said, features)}, but it has "
                f"{', '.join(features)}; name one of these"
            )
        return said
    typed = [name for name, feature in features.items() if is_one(feature)]
    likely = typed or [name for name in names if name in features]
    if len(typed) > 1 or not likely:
        found = f"{len(typed)} columns of {what}s ({', '.join(typed)})" if typed else f"no column '{what}'"
        raise DataError(
            f"{source}: {found}; it has {', '.join(features)}. Say which it is: {what}_column with the domain"
        )
    return likely[0]


def _is_picture(feature: Any) -> bool:
    if type(feature).__name__ == "Image":
        return True
    return isinstance(feature, Mapping) and {"bytes", "path"} <= set(feature)


def is_class(feature: Any) -> bool:
    """Return whether a column has classes with names."""
    return type(feature).__name__ == "ClassLabel"


def _encoded(name: str, value: Mapping[str, Any] | None, source: Source) -> EncodedPicture:
    """Return a picture; if the data set names a file for it, that lies in the data set's own folder."""
    content = None if value is None else value.get("bytes")
    if content is None and value is not None and value.get("path"):
        path = Path(value["path"])
        if isinstance(source, Path) and not path.resolve().is_relative_to(source.resolve()):
            raise DataError(f"{name}: names a file outside of the data set: save it with its pictures in it")
        content = path.read_bytes()
    return EncodedPicture(name, content or b"")
