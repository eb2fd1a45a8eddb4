"""Reading and writing MNIST's file format, idx.

An idx file is four bytes (two zeros, the type of an element, the number of dimensions), one
big-endian 32-bit length for each dimension, and the elements in C order. MNIST and similar data sets
use unsigned bytes (type 0x08): labels have one dimension, grey images three [N, H, W]. Here, colour
images have four [N, H, W, C]. Files may be gzipped, whatever their name.

A *folder* in this format holds four files, directly or under ``raw/`` as torchvision leaves them:
``{train,t10k}-images-idx3-ubyte`` (``idx4`` for colour) and ``{train,t10k}-labels-idx1-ubyte``, each
with or without ``.gz``; ``test`` may stand for ``t10k``. EMNIST's names are known too:
``emnist-letters-train-images-idx3-ubyte`` and ``emnist-letters-test-...``, of which a folder may hold several
sets. EMNIST keeps its images on their side, with rows and columns swapped; they are read upright.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import shutil
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from numpy.typing import NDArray

from huscf_flwr.atomic_file import naming, write_atomically
from huscf_flwr.data.formats.found import check_labels, named_if_damaged
from huscf_flwr.data.images import DataError, LabelledImages
from huscf_flwr.naming import by_count

_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_TEST_NAMES = ("t10k", "test")
"""MNIST's and EMNIST's name of the test part; either may be in either."""
_REPLACE = "download or copy the file again"
_NAME = re.compile(
    r"(?:(?P<set>emnist-[a-z]+)-)?(?P<part>train|t10k|test)-(?:images|labels)[-.]idx\d-ubyte(?:\.gz)?"
)


@dataclass(frozen=True)
class IdxFiles:
    """Which files of a folder are meant: the folder, and EMNIST's set, such as ``emnist-letters``, if any."""

    folder: Path
    set: str = ""

    @property
    def train(self) -> str:
        """How the names of the training files begin."""
        return self._prefix + "train"

    @property
    def test(self) -> str:
        """How the names of the test files begin."""
        for part in _TEST_NAMES:
            if self._names_of(part):
                return self._prefix + part
        return f"{self.set}-test" if self.set else "t10k"

    @property
    def has_test(self) -> bool:
        """Whether any file of the test part is there.

        Raises:
            DataError: if there are two test parts, of both names.
        """
        there = [names[0] for part in _TEST_NAMES if (names := self._names_of(part))]
        if len(there) > 1:
            raise DataError(
                f"{self.folder}: {' and '.join(there)} are of two test parts; remove one, with its labels"
            )
        return bool(there)

    @property
    def has_training_part(self) -> bool:
        """Whether images and labels to train on are there."""
        names = " ".join(self._names_of("train"))
        return "-images" in names and "-labels" in names

    @property
    def _prefix(self) -> str:
        return f"{self.set}-" if self.set else ""

    def _names_of(self, part: str) -> list[str]:
        """Return the names of the files of a part, sorted."""
        matches = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(
            each.string for each in matches if each and (each["set"] or "", each["part"]) == (self.set, part)
        )

    def class_names(self, first_label: int) -> tuple[str, ...]:
        """Return the names in EMNIST's mapping file, if it is there: the first character of each label."""
        mapping = self.folder / f"{self.set}-mapping.txt"
        if not self.set or not mapping.is_file():
            return ()
        with named_if_damaged(mapping, "damaged", _REPLACE):
            lines = [
                line.split() for line in mapping.read_text(encoding="utf-8").splitlines() if line.strip()
            ]
            names = {int(line[0]) - first_label: chr(int(line[1])) for line in lines}
            if not all(name.isprintable() for name in names.values()):
                raise ValueError("a class is called by what is no character")
            if len(set(names.values())) < len(lines):
                raise ValueError("it names a class or a label twice")
        return (
            tuple(names[label] for label in sorted(names)) if sorted(names) == list(range(len(names))) else ()
        )


def idx_files(place: Path) -> IdxFiles | None:
    """Return which files in this format a place has; None if it has none.

    A place is a folder, with the files in it or below ``raw``, or a set's name within one that holds several:
    ``DIR/emnist-letters``.

    Raises:
        DataError: if it holds several of EMNIST's sets.
    """
    for folder in (place, place / "raw"):
        sets = _sets_in(folder)
        if len(sets) > 1:
            raise DataError(
                f"{folder}: holds several sets, {', '.join(sorted(sets))}; give one of them, as in "
                f"{folder / max(sets)}"
            )
        if sets:
            return IdxFiles(folder, *sets)
    for folder in (place.parent, place.parent / "raw"):
        if not place.exists() and place.name and place.name in _sets_in(folder):
            return IdxFiles(folder, place.name)
    return None


def _sets_in(folder: Path) -> set[str]:
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return {match["set"] or "" for match in map(_NAME.fullmatch, names) if match}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes in an idx file, gzipped or not.

    Raises:
        DataError: if the file is missing, damaged, truncated, too long, not idx, or holds anything
            but unsigned bytes.
    """
    try:
        with _open(path) as file:
            shape = _read_header(file, path)
            expected = math.prod(shape)
            # One byte more than expected reveals a file that is too long, and makes gzip verify its
            # checksum. Reading no further limits the memory that a damaged header can claim.
            content = file.read(expected + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the folder or {_REPLACE}") from error
    except (OSError, EOFError, zlib.error, OverflowError, MemoryError) as error:
        raise DataError(f"{path}: damaged or truncated ({error}); {_REPLACE}") from error
    if len(content) != expected:
        found = "more" if len(content) > expected else str(len(content))
        raise DataError(
            f"{path}: its header says {list(shape)}, which is {expected} bytes, but it holds "
            f"{found}; {_REPLACE}"
        )
    with named_if_damaged(path, "damaged", _REPLACE):
        return np.frombuffer(content, dtype=np.uint8).reshape(shape).copy()


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write unsigned bytes of any shape as an idx file, gzipped if the name ends in ``.gz``.

    The file appears complete or not at all. Equal arrays give equal bytes.

    Raises:
        DataError: if the elements are not unsigned bytes, or the array has no dimension or more than 255.
    """
    if array.dtype != np.uint8 or not 1 <= array.ndim <= 255:
        raise DataError(f"idx holds unsigned bytes with 1 to 255 dimensions, not {array.dtype}")
    header = struct.pack(f">4B{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    content = header + np.ascontiguousarray(array).tobytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    write_atomically(path, content, durable=False)


def read_idx_folder(
    folder: Path, classes: int | None = None, *, needs_test: bool = True
) -> tuple[LabelledImages, LabelledImages]:
    """Return the training and the test images of a folder in MNIST's file format.

    Args:
        folder: has the four files, directly or under ``raw/``.
        classes: labels must be less than this; None allows any.
        needs_test: no test images are an error. Otherwise both test files may be missing, or hold none.

    Raises:
        DataError: if a file is missing, damaged, has the wrong shape, or has a label out of range. The
            message names the file.
    """
    files = idx_files(folder)
    if files is None and not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one with files in MNIST's format")
    files = files or IdxFiles(folder)
    train = _read_part(files, files.train, classes)
    if not needs_test and not files.has_test:
        return train, train.none
    return train, _read_part(files, files.test, classes, may_be_empty=not needs_test)


def shape_of_idx(files: IdxFiles) -> tuple[int, int, int]:
    """Return channels, height and width of the training images; raises ``DataError`` as ``read_idx`` does."""
    channels, height, width = _read_images(_find(files.folder, files.train, "images", "idx[34]"), 1).shape[1:]
    return channels, height, width


def idx_label_limit(files: IdxFiles) -> int:
    """Return one more than the largest training label; raises ``DataError`` as ``read_idx`` does."""
    return int(_read_labels(_find(files.folder, files.train, "labels", "idx1"), None).max(initial=-1)) + 1


def write_idx_folder(
    folder: Path, train: LabelledImages, test: LabelledImages, *, keep: bool = False
) -> None:
    """Write a new folder in MNIST's file format; it appears complete or not at all.

    Args:
        folder: must not be there yet, or be empty.
        train: the training images.
        test: the test images, perhaps none.
        keep: one that is there is right, and left as it is: another process has just written the same.

    Raises:
        DataError: if the folder holds something already, or a label is not in 0..255.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with naming(folder):
            for part, data in (("train", train), ("t10k", test)):
                _write_part(temporary, part, data)
        temporary.chmod(0o755)
        try:
            temporary.rename(folder)
        except OSError as error:
            if not folder.is_dir():
                raise
            if not keep:
                raise DataError(
                    f"{folder}: something is there already; give another folder, or remove this one"
                ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open(path: Path) -> BinaryIO:
    file = path.open("rb")
    zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=io.BytesIO(file.read()))) if zipped else file


def _read_header(file: BinaryIO, path: Path) -> tuple[int, ...]:
    magic = file.read(4)
    if len(magic) < 4:
        raise DataError(f"{path}: truncated, it has no idx header; {_REPLACE}")
    zeros, kind, dimensions = magic[:2], magic[2], magic[3]
    if zeros != b"\0\0" or dimensions == 0:
        raise DataError(f"{path}: not an idx file, it starts with {magic.hex()}; {_REPLACE}")
    if kind != _UNSIGNED_BYTE:
        raise DataError(
            f"{path}: its elements have type 0x{kind:02x}; only unsigned bytes (0x08) are images "
            f"or labels here: convert the file"
        )
    lengths = file.read(4 * dimensions)
    if len(lengths) < 4 * dimensions:
        raise DataError(f"{path}: truncated within its idx header; {_REPLACE}")
    return struct.unpack(f">{dimensions}I", lengths)


def _read_part(
    files: IdxFiles, part: str, classes: int | None, *, may_be_empty: bool = False
) -> LabelledImages:
    images_file = _find(files.folder, part, "images", "idx[34]")
    labels_file = _find(files.folder, part, "labels", "idx1")
    images, labels = _read_images(images_file, int(not may_be_empty)), _read_labels(labels_file, classes)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_file}: {len(labels)} {by_count(len(labels), 'label', 'labels')} for the {len(images)} "
            f"{by_count(len(images), 'image', 'images')} of {images_file.name}; {_REPLACE}"
        )
    if files.set:
        images = np.ascontiguousarray(images.swapaxes(2, 3))
    return LabelledImages(torch.from_numpy(images), torch.from_numpy(labels))


def _find(folder: Path, part: str, what: str, form: str) -> Path:
    """Return a file, unpacked or not; raises ``DataError`` if there is none, or there are two that differ."""
    # Unpacked files are read faster than gzipped ones.
    found = sorted(folder.glob(f"{part}-{what}[-.]{form}-ubyte")) + sorted(
        folder.glob(f"{part}-{what}[-.]{form}-ubyte.gz")
    )
    if not found:
        name = f"{part}-{what}-{'idx1' if what == 'labels' else 'idx3'}-ubyte"
        raise DataError(f"{folder / name}: no such file, nor with .gz; check the folder")
    for twin in found[1:]:
        if not np.array_equal(read_idx(found[0]), read_idx(twin)):
            raise DataError(f"{found[0]} and {twin.name} hold different things; remove the one that is wrong")
    return found[0]


def _read_images(path: Path, least: int) -> NDArray[np.uint8]:
    images = read_idx(path)
    if images.ndim == 3:
        images = images[..., None]
    wrong_form = images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]
    if wrong_form or len(images) < least:
        raise DataError(
            f"{path}: shape {list(images.shape)} is neither grey images [N, H, W] nor colour "
            f"images [N, H, W, 3] with N >= {least}"
        )
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _read_labels(path: Path, classes: int | None) -> NDArray[np.int64]:
    labels = read_idx(path)
    if labels.ndim != 1:
        raise DataError(f"{path}: shape {list(labels.shape)} is not a list of labels [N]")
    check_labels(labels.astype(np.int64), classes, path)
    return labels.astype(np.int64)


def _write_part(folder: Path, part: str, data: LabelledImages) -> None:
    for label in data.labels[(data.labels < 0) | (data.labels > 255)][:1].tolist():
        raise DataError(f"label {label} does not fit into idx's unsigned bytes, which are 0..255")
    images = data.images.permute(0, 2, 3, 1).numpy()
    if images.shape[3] == 1:
        images = images[..., 0]
    write_idx(folder / f"{part}-images-idx{images.ndim}-ubyte.gz", images)
    write_idx(folder / f"{part}-labels-idx1-ubyte.gz", data.labels.numpy().astype(np.uint8))
