import hashlib

import pytest
import torch
from sklearn.svm import SVC

from huscf_flwr.data import DataError, LabelledImages, builtin, load_domain
from huscf_flwr.data.digits import make_digits
from huscf_flwr.data.letters import (
    LETTERS,
    TEST_COPIES,
    TEST_FONTS,
    TRAINING_COPIES,
    TRAINING_FONTS,
    make_letters,
)

NAMES = pytest.mark.parametrize("name", ["digits", "letters"])


@pytest.fixture(scope="module")
def domains(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return {name: load_domain(name, root=None, cache=cache, image=(1, 28)) for name in ("digits", "letters")}


def digest(data: LabelledImages) -> str:
    content = data.images.numpy().tobytes() + data.labels.numpy().tobytes()
    return hashlib.sha256(content).hexdigest()


def rows(data: LabelledImages) -> list[bytes]:
    return [image.numpy().tobytes() for image in data.images]


@pytest.mark.slow
@NAMES
def test_all_ten_classes_have_similar_numbers_of_images(name, domains):
    for data in (domains[name].train, domains[name].test):
        assert data.images.shape[1:] == (1, 28, 28)
        counts = torch.bincount(data.labels, minlength=10)
        assert len(counts) == 10
        assert counts.max() <= 1.1 * counts.min()


@NAMES
def test_a_simple_classifier_generalises_to_the_test_images(name, domains):
    train, test = domains[name].train, domains[name].test
    judge = SVC(C=10).fit(train.images.flatten(1).numpy() / 255, train.labels.numpy())
    assert judge.score(test.images.flatten(1).numpy() / 255, test.labels.numpy()) >= 0.98


@NAMES
def test_no_image_is_in_both_parts(name, domains):
    assert not set(rows(domains[name].train)) & set(rows(domains[name].test))


@NAMES
def test_images_look_like_mnist(name, domains):
    """Black at the border, white somewhere, a tenth to a third of ink, centred near the middle."""
    images = domains[name].train.images.double() / 255
    border = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], -1)
    assert border.mean() < 0.01
    assert (images.flatten(1).max(dim=1).values > 0.9).double().mean() > 0.99
    assert 0.1 < images.mean() < 1 / 3
    places = torch.arange(28, dtype=torch.float64)
    mass = images.sum(dim=(1, 2, 3))
    for axis in (2, 3):
        middles = (images.sum(dim=(1, 5 - axis)) * places).sum(dim=1) / mass
        assert (middles - 13.5).abs().mean() < 2


def test_sizes(domains):
    assert (len(domains["digits"].train), len(domains["digits"].test)) == (1437, 360)
    assert len(domains["letters"].train) == len(TRAINING_FONTS) * len(LETTERS) * TRAINING_COPIES
    assert len(domains["letters"].test) == len(TEST_FONTS) * len(LETTERS) * TEST_COPIES


def test_training_and_test_fonts_differ():
    assert not set(TRAINING_FONTS) & set(TEST_FONTS)


@pytest.mark.parametrize(("name", "make"), [("digits", make_digits), ("letters", make_letters)])
def test_they_are_the_same_each_time(name, make, domains):
    known = (domains[name].train, domains[name].test)
    assert [digest(part) for part in make()] == [digest(part) for part in known]


def test_digits_are_centred_by_mass(domains):
    images = domains["digits"].train.images.double()
    places = torch.arange(28, dtype=torch.float64)
    middles = (images.sum(dim=(1, 2)) * places).sum(dim=1) / images.sum(dim=(1, 2, 3))
    assert ((middles - 13.5).abs() <= 0.5 + 1e-9).double().mean() > 0.99


@pytest.fixture
def few_letters(domains, monkeypatch):
    """Letters that need not be rendered."""
    few = LabelledImages(domains["letters"].train.images[:30], domains["letters"].train.labels[:30])
    monkeypatch.setattr(builtin, "make_letters", lambda: (few, few))


def test_letters_are_rendered_once(few_letters, tmp_path, monkeypatch):
    first = load_domain("letters", root=None, cache=tmp_path, image=(1, 28))
    monkeypatch.setattr(builtin, "make_letters", None)
    again = load_domain("letters", root=None, cache=tmp_path, image=(1, 28))
    assert digest(first.train) == digest(again.train)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_cache_says_what_to_delete(few_letters, tmp_path):
    load_domain("letters", root=None, cache=tmp_path, image=(1, 28))
    folder = next(tmp_path.iterdir())
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"")
    with pytest.raises(DataError, match=f"t10k-labels.*Delete {folder}"):
        load_domain("letters", root=None, cache=tmp_path, image=(1, 28))


def test_letters_need_no_cache_that_can_be_written(tmp_path, caplog):
    (tmp_path / "file").touch()
    train, test = builtin.load_letters(tmp_path / "file" / "cache")
    assert (len(train), len(test)) == (2000, 520)
    assert "letters are not kept, and are rendered again next time" in caplog.text
