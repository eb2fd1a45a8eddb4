"""Domains that are other domains' images, transformed; and that no two domains of a run share an image."""

import pytest
import torch

from huscf_flwr.data import (
    DataError,
    DomainSource,
    LabelledImages,
    convert,
    load_domain,
    load_domains,
    load_scenario,
    write_idx_folder,
)
from huscf_flwr.data.derived import TRANSFORMS, Derivation, derivation, laid_over, transformed
from tests.data.formats.writing import some, write_npz, write_pictures

IMAGE = (1, 28)


def numbered(count, first=0, classes=10):
    """Images whose upper left pixels say their number, in two digits; the lower right is white."""
    images = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(first, first + count) % 250
    images[:, 0, -1, -1] = 255
    return LabelledImages(images, torch.arange(count) % classes)


@pytest.fixture
def root(tmp_path):
    write_idx_folder(tmp_path / "Base", numbered(60), numbered(20, first=100))
    return tmp_path


@pytest.fixture
def load(root):
    def domains(*names, **given):
        sources = [DomainSource(name=name) if isinstance(name, str) else name for name in names]
        return load_domains(sources, root=root, cache=root, image=IMAGE, classes=10, **given)

    return domains


def test_transforms_worked_by_hand():
    """Three pixels in two rows; a quarter anticlockwise brings the last column to the top."""
    pixels = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]], dtype=torch.uint8)
    found = {name: transform(pixels).squeeze().tolist() for name, transform in TRANSFORMS.items()}
    assert found == {
        "inverted": [[254, 253, 252], [251, 250, 249]],
        "rotated": [[3, 6], [2, 5], [1, 4]],
    }
    data = LabelledImages(pixels, torch.tensor([7]))
    assert torch.equal(transformed(data, "rotated").images, TRANSFORMS["rotated"](pixels))
    assert transformed(data, "rotated").labels is data.labels


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnist-inverted", Derivation("mnist", "inverted")),
        ("fashion-mnist-rotated", Derivation("fashion-mnist", "rotated")),
        ("mnist-inverted-rotated", Derivation("mnist-inverted", "rotated")),
        ("mnist-over-cifar10", Derivation("mnist", background="cifar10")),
        ("mnist-inverted-over-cifar10", Derivation("mnist-inverted", background="cifar10")),
        ("mnist-over-cifar10-inverted", Derivation("mnist-over-cifar10", "inverted")),
        ("mnist-over-", None),
        ("-over-cifar10", None),
        ("fashion-mnist", None),
        ("inverted", None),
        ("-inverted", None),
    ],
)
def test_a_name_is_a_domain_and_a_transform(name, expected):
    assert derivation(name) == expected


def test_alone_a_derived_domain_has_all_images_transformed_the_test_images_too(load):
    base, inverted, twice = (load(name)[name] for name in ("base", "base-inverted", "base-inverted-rotated"))
    assert (inverted.name, inverted.classes) == ("base-inverted", 10)
    for part in ("train", "test"):
        before, after, both = (getattr(domain, part) for domain in (base, inverted, twice))
        assert torch.equal(after.images, 255 - before.images)
        assert torch.equal(both.images, (255 - before.images).rot90(1, (2, 3)))
        assert torch.equal(after.labels, before.labels)


def test_a_domain_of_that_name_is_not_derived(root, load):
    write_idx_folder(root / "base-rotated", numbered(30), numbered(10))
    found = load("base", "base-rotated")
    assert [len(domain.train) for domain in found.values()] == [60, 30]
    assert torch.equal(found["base-rotated"].train.images, numbered(30).images)


def numbers_of(domain, part="train"):
    """The numbers of a domain's images, whatever was done to them."""
    images = getattr(domain, part).images
    images = 255 - images if "inverted" in domain.name else images
    images = images.rot90(-1, (2, 3)) if "rotated" in domain.name else images
    return images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    "names",
    [
        ("base", "base-inverted"),
        ("base-rotated", "BASE"),
        ("base-inverted", "base-rotated", "base"),
        ("base-inverted", "base-inverted-rotated"),
    ],
)
def test_domains_of_a_run_are_dealt_equal_shares_of_the_images_that_they_come_from(load, names):
    found = load(*names)
    assert list(found) == list(names)
    together = [number for domain in found.values() for number in numbers_of(domain)]
    assert sorted(together) == list(range(60))
    for domain in found.values():
        assert domain.train.labels.bincount().tolist() == [6 // len(names)] * 10
        assert [number % 10 for number in numbers_of(domain)] == domain.train.labels.tolist()
        assert numbers_of(domain, "test") == list(range(100, 120))
    again = load(*names)
    assert all(numbers_of(again[name]) == numbers_of(found[name]) for name in names)


def test_other_domains_of_the_run_change_nothing(root, load):
    write_idx_folder(root / "other", numbered(30), numbered(10))
    alone = load("base", "base-inverted")
    beside = load("other", "base", "base-inverted")
    assert len(beside["other"].train) == 30
    assert all(numbers_of(alone[name]) == numbers_of(beside[name]) for name in alone)


def test_what_a_domain_is_derived_from_may_have_a_folder_of_its_own(tmp_path, load):
    write_idx_folder(tmp_path / "elsewhere", numbered(20, classes=4), numbered(8, classes=4))
    own = DomainSource(name="mine", folder=tmp_path / "elsewhere")
    found = load(own, "mine-inverted")
    assert sorted(numbers_of(found["mine"]) + numbers_of(found["mine-inverted"])) == list(range(20))
    assert found["mine-inverted"].classes == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lettrs-inverted", r"unknown domain 'lettrs' \(did you mean 'letters'\?\)"),
        ("letters-invertd", r"'letters-invertd' \(did you mean 'letters-inverted'\?\)"),
        (
            "letters-over-photos",
            r"unknown domain 'photos'.* as mnist-inverted or .*mnist-over-cifar10",
        ),
    ],
)
def test_what_is_derived_from_nothing_is_unknown(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        load_domain(name, root=None, cache=tmp_path, image=IMAGE)


@pytest.mark.parametrize(
    ("scenario", "domains"),
    [
        ("overlap-digits", ("mnist", "digits")),
        ("overlap-inverted", ("mnist", "mnist-inverted")),
        ("overlap-rotated", ("mnist", "mnist-rotated")),
    ],
)
def test_scenarios_of_overlapping_domains(tmp_path, scenario, domains):
    assert load_scenario(scenario).domain_names == domains
    offline = [name.replace("mnist", "digits") for name in domains if name != "digits"]
    found = load_domains(
        load_scenario(scenario, domains=offline).domains,
        root=None,
        cache=tmp_path,
        image=IMAGE,
        classes=10,
    )
    assert sum(len(domain.train) for domain in found.values()) == 1437
    assert all(domain.train.labels.unique().tolist() == list(range(10)) for domain in found.values())


@pytest.mark.parametrize("names", [("base",), ("base", "base-inverted")])
def test_validation_images_come_out_of_the_training_images_and_nobody_has_them_twice(load, names):
    """Of 60 training images 12; of two shares of 30, 6 each. No test image, numbered from 100, is seen."""
    found = load(*names, judged_on="validation")
    together = [
        number
        for domain in found.values()
        for part in ("train", "test")
        for number in numbers_of(domain, part)
    ]
    assert sorted(together) == list(range(60))
    for name, domain in load(*names).items():
        fifth = len(domain.train) // 5
        validation = found[name].test
        assert len(validation) == fifth
        # A label has six images in all and three in a share: a fifth is one, give or take one.
        assert validation.labels.bincount(minlength=10).max() <= 2
        assert sorted(numbers_of(found[name]) + numbers_of(found[name], "test")) == numbers_of(domain)


def test_validation_has_a_fifth_of_every_label(tmp_path):
    (digits,) = load_domains(
        [DomainSource(name="digits")],
        root=None,
        cache=tmp_path,
        image=IMAGE,
        classes=10,
        judged_on="validation",
    ).values()
    for label in range(10):
        left, aside = (int((part.labels == label).sum()) for part in (digits.train, digits.test))
        assert abs(aside - (left + aside) / 5) < 1


def test_for_validation_there_need_be_no_test_images(tmp_path, load):
    write_idx_folder(tmp_path / "untested", numbered(20), numbered(0))
    with pytest.raises(DataError, match="t10k-images"):
        load("untested")
    assert len(load("untested", judged_on="validation")["untested"].test) == 4


def test_a_single_image_cannot_be_split(tmp_path, load):
    write_idx_folder(tmp_path / "single", numbered(1), numbered(1))
    with pytest.raises(
        DataError, match=r"judged_on is validation, but domain 'single' has 1 training image: "
    ):
        load("single", judged_on="validation")


def test_black_shows_the_photograph_and_white_its_negative():
    """One photograph as large as the image, so that there is one patch; three channels of it."""
    figure = LabelledImages(torch.tensor([[[[0, 255], [100, 10]]]], dtype=torch.uint8), torch.tensor([3]))
    channels = [[[7, 7], [40, 40]], [[0, 255], [100, 10]], [[255, 0], [0, 0]]]
    blended = laid_over(figure, torch.tensor([channels], dtype=torch.uint8), "test")
    assert blended.images.tolist() == [[[[7, 248], [60, 30]], [[0, 0], [0, 0]], [[255, 255], [100, 10]]]]
    assert blended.labels.tolist() == [3]


def test_patches_are_of_all_photographs_and_all_places_and_always_the_same():
    """Photograph p has the pixel 100 p + 10 row + column: four places for a patch of 2x2 in 3x3."""
    places = 10 * torch.arange(3)[:, None] + torch.arange(3)
    photographs = (100 * torch.arange(2)[:, None, None, None] + places).to(torch.uint8)
    black = LabelledImages(torch.zeros(200, 1, 2, 2, dtype=torch.uint8), torch.arange(200) % 10)
    patches = laid_over(black, photographs, "test").images
    corners = patches[:, 0, 0, 0]
    assert sorted(set(corners.tolist())) == [0, 1, 10, 11, 100, 101, 110, 111]
    assert torch.equal(patches - corners[:, None, None, None], places[:2, :2].expand(200, 1, 2, 2))
    assert torch.equal(laid_over(black, photographs, "test").images, patches)
    assert not torch.equal(laid_over(black, photographs, "other").images, patches)


@pytest.mark.parametrize("photographs", [torch.zeros(0, 3, 9, 9), torch.zeros(4, 3, 5, 9)])
def test_photographs_that_do_not_reach_are_refused(photographs):
    with pytest.raises(DataError, match=r"mine over thine: .* images of 6 x 6: give photographs .* large"):
        laid_over(some(2), photographs.to(torch.uint8), "mine", "thine")


def test_test_images_lie_over_test_photographs_and_bases_share_images(tmp_path, load):
    """Photographs to train with are all 200, those to test with all 50."""
    bright, dark = some(4, channels=3, size=30), some(3, channels=3, size=30)
    bright.images[:], dark.images[:] = 200, 50
    write_npz(tmp_path / "photos.npz", train=bright, test=dark)
    whole = load("base-over-photos")["base-over-photos"]
    assert whole.train.images[:, 0, 0, 0].tolist() == [200 - number for number in range(60)]
    assert whole.test.images[:, 0, 0, 0].tolist() == [abs(50 - number) for number in range(100, 120)]
    beside = load("base", "photos", "base-over-photos")
    under = (200 - beside["base-over-photos"].train.images[:, 0, 0, 0].int()).tolist()
    assert sorted(numbers_of(beside["base"]) + under) == list(range(60))
    assert len(beside["photos"].train) == 4


@pytest.mark.parametrize("size", [6, 12])
def test_patches_are_the_same_for_every_network_and_format(size, tmp_path):
    """The same images as arrays and as pictures, for networks of the digits' size and of twice that."""
    digits, photos = some(6, size=6), some(9, channels=3, size=11, seed=1)
    (tmp_path / "arrays").mkdir()
    for name, data in {"d": digits, "p": photos}.items():
        for part in ("train", "test"):
            for label, letter in enumerate("abc"):
                of_label = data.subset(torch.nonzero(data.labels == label)[:, 0])
                write_pictures(tmp_path / "pictures" / name / part, of_label, names=letter * 3)
    in_order = {
        name: data.subset(data.labels.argsort(stable=True))
        for name, data in {"d": digits, "p": photos}.items()
    }
    expected = convert(laid_over(in_order["d"], in_order["p"].images, "d", "p"), 3, size)
    found = load_domain("d-over-p", root=tmp_path / "pictures", cache=tmp_path, image=(3, size))
    assert torch.equal(found.train.images, expected.images)
    for place, data in in_order.items():
        write_npz(tmp_path / "arrays" / f"{place}.npz", train=data, test=data)
    again = load_domain("d-over-p", root=tmp_path / "arrays", cache=tmp_path, image=(3, size))
    assert torch.equal(again.train.images, expected.images)


def test_pictures_of_several_sizes_lie_behind_as_squares_of_their_usual_size(tmp_path):
    black = some(3, size=4)
    black.images[:] = 0
    write_npz(tmp_path / "d.npz", train=black, test=black)
    for part in ("train", "test"):
        write_pictures(tmp_path / "p" / part, some(3, size=7))
        write_pictures(tmp_path / "p" / part / "more", some(3, size=9))
        for letter in "abc":
            for each in (tmp_path / "p" / part / "more" / letter).iterdir():
                each.rename(tmp_path / "p" / part / letter / f"more-{each.name}")
            (tmp_path / "p" / part / "more" / letter).rmdir()
        (tmp_path / "p" / part / "more").rmdir()
    sizes = {
        side: load_domain("d-over-p", root=tmp_path, cache=tmp_path, image=(1, side)).train.images
        for side in (4, 8)
    }
    assert torch.equal(convert(LabelledImages(sizes[4], black.labels), 1, 8).images, sizes[8])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"name": "digits", "first_label": 1},
            "'digits': first_label can change nothing, since it is built in",
        ),
        ({"name": "letters", "by_holder": True}, "'letters': by_holder can change nothing"),
        ({"name": "base-inverted", "class_names": ["a"]}, "class_names can change nothing.* those of base"),
        (
            {"name": "base-over-base", "image_column": "x", "label_column": "y"},
            "image_column and label_column",
        ),
    ],
)
def test_settings_that_say_nothing_of_a_domain_are_refused(source, message, load):
    with pytest.raises(DataError, match=message):
        load(DomainSource(**source))


def test_where_all_images_are_known_to_be_square_nothing_needs_to_fit(load):
    with pytest.raises(
        DataError, match=r"data\.fit is crop, but images of digits, digits-rotated are square"
    ):
        load("digits", "digits-rotated", fit="crop")
    assert set(load("digits", "base", fit="crop")) == {"digits", "base"}
