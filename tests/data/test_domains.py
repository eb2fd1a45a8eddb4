from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from huscf_flwr.data import (
    DataError,
    DomainSource,
    LabelledImages,
    downloads,
    load_domain,
    register_domain,
    registered_names,
    write_idx_folder,
)
from huscf_flwr.data import registry as registry_module
from huscf_flwr.data.below_root import place_below
from tests.data.formats.writing import write_npz, write_pictures

GREY = (1, 28)


def some(count: int, size: int = 28, channels: int = 1, classes: int = 10) -> LabelledImages:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    return LabelledImages(images, torch.arange(count) % classes)


def folder_of(place: Path, train: int = 20, test: int = 10, **form: int) -> Path:
    write_idx_folder(place, some(train, **form), some(test, **form))
    return place


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(registry_module, "_REGISTRY", dict(registry_module._REGISTRY))


def test_the_built_in_names():
    assert {"mnist", "fashion-mnist", "kmnist", "cifar10", "svhn", "notmnist"} < set(registered_names())
    assert {"digits", "letters"} < set(registered_names())


def test_any_folder_is_a_domain(tmp_path, cache):
    folder = folder_of(tmp_path / "x")
    domain = load_domain(DomainSource(name="mine", folder=folder), root=None, cache=cache, image=GREY)
    assert (domain.name, domain.classes) == ("mine", 10)
    assert torch.equal(domain.train.images, some(20).images)
    assert torch.equal(domain.test.labels, some(10).labels)
    assert not cache.exists()


@pytest.mark.parametrize("spelling", ["FashionMNIST", "fashion-mnist", "Fashion_Mnist"])
def test_a_folder_below_root_is_found_and_nothing_is_downloaded(spelling, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(datasets, "FashionMNIST", None)
    folder_of(tmp_path / "root" / spelling / "raw")
    (tmp_path / "root" / "MNIST").mkdir()
    domain = load_domain("fashion-mnist", root=tmp_path / "root", cache=cache, image=GREY)
    assert len(domain.train) == 20
    assert domain.classes == 10


def test_a_folder_below_root_needs_no_registration(tmp_path, cache):
    folder_of(tmp_path / "Emblems", classes=4)
    domain = load_domain("emblems", root=tmp_path, cache=cache, image=GREY)
    assert (domain.name, domain.classes) == ("emblems", 4)


def test_a_domains_own_folder_wins_over_root(tmp_path, cache):
    folder_of(tmp_path / "root" / "mnist", train=20)
    own = folder_of(tmp_path / "own", train=30)
    source = DomainSource(name="mnist", folder=own)
    assert len(load_domain(source, root=tmp_path / "root", cache=cache, image=GREY).train) == 30


@pytest.mark.parametrize("image", [(1, 28), (3, 32), (1, 16)])
def test_images_have_the_form_that_the_network_expects(image, tmp_path, cache):
    folder = folder_of(tmp_path / "x", size=9, channels=3)
    domain = load_domain(DomainSource(name="x", folder=folder), root=None, cache=cache, image=image)
    channels, size = image
    assert domain.train.images.shape == (20, channels, size, size)
    assert domain.test.images.shape == (10, channels, size, size)


def test_an_unknown_domain_suggests_the_nearest_name_and_a_folder(tmp_path, cache):
    (tmp_path / "photos").mkdir()
    for said, meant in (("letter", "letters"), ("photo", "photos")):
        with pytest.raises(DataError, match=rf"'{said}' \(did you mean '{meant}'\?\).*folder: DIR"):
            load_domain(said, root=tmp_path, cache=cache, image=GREY)


def test_notmnist_says_that_its_files_must_be_given(tmp_path, cache):
    with pytest.raises(DataError, match=r"notmnist.*data\.root"):
        load_domain("notmnist", root=tmp_path, cache=cache, image=GREY)
    folder_of(tmp_path / "notMNIST" / "raw")
    assert len(load_domain("notmnist", root=tmp_path, cache=cache, image=GREY).train) == 20


def test_a_missing_root_is_named(tmp_path, cache):
    with pytest.raises(DataError, match=r"data\.root: no such folder: .*nowhere"):
        load_domain("digits", root=tmp_path / "nowhere", cache=cache, image=GREY)


def test_a_label_out_of_range_is_an_error(tmp_path, cache):
    folder_of(tmp_path / "mnist", classes=11)
    with pytest.raises(DataError, match=r"train-labels.*label 10 of sample 10 .*0\.\.9"):
        load_domain("mnist", root=tmp_path, cache=cache, image=GREY)


def test_more_classes_than_the_network_has_is_an_error(tmp_path, cache):
    source = DomainSource(name="x", folder=folder_of(tmp_path / "x", classes=7))
    with pytest.raises(DataError, match="'x' has 7 classes and the network 5"):
        load_domain(source, root=None, cache=cache, image=GREY, classes=5)
    assert load_domain(source, root=None, cache=cache, image=GREY, classes=7).classes == 7


def test_a_test_label_that_training_lacks_asks_for_the_number_of_classes(tmp_path, cache):
    write_idx_folder(tmp_path / "x", some(20, classes=3), some(10, classes=4))
    with pytest.raises(DataError, match=r"test image has label 3, .*number of classes"):
        load_domain(DomainSource(name="x", folder=tmp_path / "x"), root=None, cache=cache, image=GREY)
    source = DomainSource(name="x", folder=tmp_path / "x", classes=4)
    assert load_domain(source, root=None, cache=cache, image=GREY).classes == 4


@pytest.mark.parametrize("image", [(1, 28), (3, 16)])
def test_a_domain_has_no_test_images_only_where_that_is_said(image, tmp_path, cache):
    write_idx_folder(tmp_path / "x", some(20), some(0))
    source = DomainSource(name="x", folder=tmp_path / "x")
    with pytest.raises(DataError, match="t10k-images"):
        load_domain(source, root=None, cache=cache, image=image)
    domain = load_domain(source, root=None, cache=cache, image=image, needs_test=False)
    channels, size = image
    assert (len(domain.train), domain.classes) == (20, 10)
    assert domain.test.images.shape == (0, channels, size, size)


def test_a_domain_may_be_a_file_below_root_or_a_folder_of_pictures(tmp_path, cache):
    write_npz(tmp_path / "My_Set.npz", train=some(20), test=some(10))
    assert torch.equal(
        load_domain("my-set", root=tmp_path, cache=cache, image=GREY).test.images, some(10).images
    )
    write_pictures(tmp_path / "animals", some(20, classes=3), names=("ant", "bee", "cow"))
    domain = load_domain("animals", root=tmp_path, cache=cache, image=(1, 14))
    assert (domain.classes, domain.class_names) == (3, ("ant", "bee", "cow"))
    assert domain.train.images.shape[1:] == (1, 14, 14)
    assert "no test part" in domain.notes[0]


def test_what_was_done_with_images_that_are_not_square_is_said(tmp_path, cache):
    np.savez(tmp_path / "x.npz", train_images=np.zeros((5, 4, 8), np.uint8), train_labels=np.arange(5) % 2)
    for fit, done in (("pad", "padded with black"), ("crop", "cropped"), ("stretch", "stretched")):
        domain = load_domain("x", root=tmp_path, cache=cache, image=GREY, fit=fit)
        assert f"images of 4 x 8 pixels, height first, are {done}" in domain.notes[1]


def test_what_images_lose_is_said(tmp_path, cache):
    write_pictures(tmp_path / "x", some(20, classes=3, size=40, channels=3), names=("a", "b", "c"))
    for image, lost in {
        (1, 28): "images lose their colour and detail, from 40 to 28 pixels",
        (3, 28): "images lose detail, from 40 to 28 pixels",
        (1, 32): "images lose their colour",
        (3, 32): "",
    }.items():
        notes = load_domain("x", root=tmp_path, cache=cache, image=image).notes[1:]
        said = [note.partition("'x': ")[2].partition(", as model")[0] for note in notes]
        assert [note for note in said if "lose" in note] == ([lost] if lost else [])


def test_classes_may_be_named_and_counted_from_one(tmp_path, cache):
    labels = LabelledImages(some(20).images, 1 + torch.arange(20) % 2)
    source = DomainSource(
        name="x",
        folder=write_npz(tmp_path / "x.npz", train=labels),
        first_label=1,
        class_names=("a", "b", "c"),
    )
    domain = load_domain(source, root=None, cache=cache, image=GREY)
    assert (domain.classes, domain.class_names) == (3, ("a", "b", "c"))
    assert set(domain.train.labels.tolist()) == {0, 1}


def test_hints_ignore_case(tmp_path, cache):
    with pytest.raises(DataError, match=r"unknown domain 'MNIST' \(did you mean 'mnist'"):
        load_domain("MNIST", root=None, cache=cache, image=GREY)


@pytest.mark.usefixtures("registry")
def test_users_can_register_a_domain(cache):
    @register_domain("stripes", classes=10)
    def load(folder: Path) -> tuple[LabelledImages, LabelledImages]:
        assert folder == cache
        return some(12, size=14), some(10, size=14)

    domain = load_domain("stripes", root=None, cache=cache, image=GREY)
    assert domain.train.images.shape == (12, 1, 28, 28)
    with pytest.raises(DataError, match="'stripes' is already registered"):
        register_domain("stripes", classes=2)(load)


def fake_dataset(form: str, calls: list[dict[str, Any]]) -> Any:
    """Return a stand-in for a torchvision class whose pixels have varying values."""
    shapes = {"grey": (4, 28, 28), "last": (4, 32, 32, 3), "first": (4, 3, 32, 32)}
    pixels = (np.arange(np.prod(shapes[form])) % 251).astype(np.uint8).reshape(shapes[form])
    labels = np.array([3, 1, 4, 1])

    def make(**arguments: Any) -> SimpleNamespace:
        calls.append(arguments)
        if arguments.get("download") is False:
            raise RuntimeError("Dataset not found")
        if form == "grey":
            return SimpleNamespace(data=torch.from_numpy(pixels), targets=torch.from_numpy(labels))
        if form == "last":
            return SimpleNamespace(data=pixels, targets=labels.tolist())
        return SimpleNamespace(data=pixels, labels=labels)

    return make


@pytest.mark.parametrize(
    ("name", "class_name", "form", "size"),
    [
        ("mnist", "MNIST", "grey", 28),
        ("fashion-mnist", "FashionMNIST", "grey", 28),
        ("kmnist", "KMNIST", "grey", 28),
        ("cifar10", "CIFAR10", "last", 32),
        ("svhn", "SVHN", "first", 32),
    ],
)
def test_torchvision_downloads_the_images(name, class_name, form, size, cache, monkeypatch):
    calls: list[dict[str, Any]] = []
    made = fake_dataset(form, calls)
    monkeypatch.setattr(datasets, class_name, made)
    channels = 1 if form == "grey" else 3
    domain = load_domain(name, root=None, cache=cache, image=(channels, size))
    pixels = torch.as_tensor(made().data)
    expected = {
        "grey": lambda: pixels[:, None],
        "last": lambda: pixels.permute(0, 3, 1, 2),
        "first": lambda: pixels,
    }[form]()
    assert torch.equal(domain.train.images, expected)
    assert domain.train.labels.tolist() == [3, 1, 4, 1]
    calls = [call for call in calls if call.get("download")]
    assert all(str(cache) in call["root"] for call in calls)
    which = [call.get("train", call.get("split")) for call in calls]
    assert which == (["train", "test"] if name == "svhn" else [True, False])


@pytest.mark.usefixtures("read_only")
def test_a_cache_that_has_the_set_need_not_be_writable(cache, monkeypatch):
    def make(*, download: bool, **_: Any) -> SimpleNamespace:
        assert not download
        return fake_dataset("grey", [])()

    monkeypatch.setattr(datasets, "MNIST", make)
    assert len(load_domain("mnist", root=None, cache=cache, image=GREY).train) == 4


@pytest.fixture
def read_only(cache, monkeypatch):
    """A folder in which nothing can be made, even by root."""

    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    (cache / "torchvision" / "MNIST").mkdir(parents=True)
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(downloads, "FileLock", lambda path: refuse(Path(path)))


@pytest.mark.parametrize(
    "failure",
    [OSError("no route"), RuntimeError("no route"), AssertionError("no route"), ValueError("no route")],
)
def test_a_failed_download_says_what_to_do(failure, cache, monkeypatch):
    def refuse(**_: Any) -> None:
        raise failure

    monkeypatch.setattr(datasets, "KMNIST", refuse)
    with pytest.raises(
        DataError, match=r"KMNIST: could not be downloaded .*no route.*data\.root.*any format"
    ):
        load_domain("kmnist", root=None, cache=cache, image=GREY)


def test_a_folder_in_a_folder_below_root_has_the_name_of_both(tmp_path, cache):
    folder_of(tmp_path / "PACS" / "art_painting", train=20)
    folder_of(tmp_path / "PACS" / "photo", train=30)
    found = {
        name: load_domain(f"pacs-{name}", root=tmp_path, cache=cache, image=GREY)
        for name in ("art-painting", "photo")
    }
    assert {name: len(domain.train) for name, domain in found.items()} == {"art-painting": 20, "photo": 30}
    folder_of(tmp_path / "pacs-photo", train=10)
    assert len(load_domain("pacs-photo", root=tmp_path, cache=cache, image=GREY).train) == 10


@pytest.mark.parametrize("name", ["own.csv", "OWN.CSV.GZ", "own.parquet", "own.arrow"])
def test_a_file_below_root_of_any_format_has_the_name_of_a_domain(name, tmp_path):
    (tmp_path / name).touch()
    assert place_below(tmp_path, "own") == tmp_path / name
    (tmp_path / "Set").mkdir()
    (tmp_path / name).rename(tmp_path / "Set" / name)
    assert place_below(tmp_path, "set-own") == tmp_path / "Set" / name
