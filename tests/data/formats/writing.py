"""Small sets of images, written in each format as users have them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from huscf_flwr.data import LabelledImages


def some(count: int, classes: int = 3, channels: int = 1, size: int = 6, seed: int = 0) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    return LabelledImages(images, torch.arange(count) % classes)


def same(left: LabelledImages, right: LabelledImages) -> bool:
    """Whether both have the same images with the same labels, in whatever order."""
    return sorted(rows(left)) == sorted(rows(right))


def rows(data: LabelledImages) -> list[tuple[int, bytes]]:
    return [
        (int(label), bytes(image.flatten().tolist()))
        for image, label in zip(data.images, data.labels, strict=True)
    ]


def channels_last(data: LabelledImages) -> np.ndarray:
    array = data.images.permute(0, 2, 3, 1).numpy()
    return array[..., 0] if array.shape[3] == 1 else array


def write_pictures(folder: Path, data: LabelledImages, names=("a", "b", "c")) -> Path:
    for number, (pixels, label) in enumerate(zip(channels_last(data), data.labels.tolist(), strict=True)):
        place = folder / names[label] / f"{number:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    return folder


def write_npz(path: Path, **parts: LabelledImages) -> Path:
    arrays = {}
    for part, data in parts.items():
        arrays[f"{part}_images"] = channels_last(data)
        arrays[f"{part}_labels"] = data.labels.numpy()[:, None].astype(np.uint8)
    np.savez(path, **arrays)
    return path


def huggingface(data: LabelledImages, names=None, **columns):
    """A `datasets.Dataset` with PNGs in `image`, classes in `label`, and other columns."""
    datasets = pytest.importorskip("datasets")
    classes = datasets.ClassLabel(names=names or [str(label) for label in range(3)])
    features = {"image": datasets.Image(), "label": classes}
    for name, values in columns.items():
        features[name] = datasets.Value("string" if isinstance(values[0], str) else "int64")
    content = {
        "image": [Image.fromarray(pixels) for pixels in channels_last(data)],
        "label": data.labels.tolist(),
        **columns,
    }
    return datasets.Dataset.from_dict(content, features=datasets.Features(features))


def write_huggingface(folder: Path, **parts) -> Path:
    """Write a folder with one split a part, each what `huggingface` returns."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return folder


def write_table(path: Path, data: LabelledImages, *, header: bool = True, label_last: bool = False) -> Path:
    pixels = data.images.permute(0, 2, 3, 1).reshape(len(data), -1).numpy().astype(np.int64)
    labels = data.labels.numpy()[:, None]
    names = [f"pixel{number}" for number in range(pixels.shape[1])]
    columns = [pixels, labels] if label_last else [labels, pixels]
    first = ",".join([*names, "label"] if label_last else ["label", *names])
    np.savetxt(path, np.hstack(columns), fmt="%d", delimiter=",", header=first if header else "", comments="")
    return path
