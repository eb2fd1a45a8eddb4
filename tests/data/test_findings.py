"""What is odd about images is said once, in a sentence; what is not odd is not mentioned."""

import pytest
import torch

from huscf_flwr.data import LabelledImages
from huscf_flwr.data import findings as findings_module
from huscf_flwr.data.findings import FEW_A_CLASS, FEW_TO_TEST, Findings, findings
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.holders import read_holders
from huscf_flwr.data.formats.places import read_place
from huscf_flwr.data.images import ImageForm
from tests.data.formats.writing import some, write_npz, write_pictures

CLASSES = 3
TRAIN = some(CLASSES * FEW_A_CLASS)
TEST = some(FEW_TO_TEST + 2, seed=1)


def changed(data, images=None, labels=None):
    return LabelledImages(
        data.images if images is None else images, data.labels if labels is None else labels
    )


def ending_at(data, highest):
    return changed(
        data, (data.images.int() % (highest + 1)).index_fill(3, torch.tensor(0), highest).to(torch.uint8)
    )


def odd(train, test=TEST, classes=CLASSES, names=()):
    return list(findings(train, test, classes, names).odd)


def test_nothing_is_said_of_ordinary_images():
    assert findings(TRAIN, TEST, CLASSES) == Findings((), ())
    assert findings(TRAIN, TRAIN.none, CLASSES) == Findings((), ())


def test_of_images_that_are_not_square_it_is_said_what_a_run_does_with_them():
    def wide(data):
        return changed(data, images=torch.cat([data.images, data.images.flip(3)], dim=3))

    found = findings(wide(TRAIN), wide(TEST), CLASSES)
    side = TRAIN.images.shape[2]
    assert found.odd == ()
    assert found.facts == (
        f"images of {side} x {2 * side} pixels, height first, are not square: a run pads them with black, or "
        "crops or stretches them, as data.fit says",
    )


@pytest.mark.parametrize("highest", range(1, 17))
@pytest.mark.parametrize("tested", [True, False])
def test_pixels_of_another_range_are_to_be_multiplied_until_they_end_near_255(highest, tested):
    test = ending_at(TEST, highest) if tested else TEST.none
    (said,) = odd(ending_at(TRAIN, highest), test)
    begin, _, factor = said.rpartition(" ")
    assert begin == f"pixels end at {highest}, not at 255: multiply them by"
    assert 240 <= highest * int(factor) <= 255


@pytest.mark.parametrize(
    ("trained", "tested"), [(14, 127), (127, 14), (1, 255), (127, 255), (255, 1), (7, 15)]
)
def test_parts_of_different_ranges(trained, tested):
    assert odd(ending_at(TRAIN, trained), ending_at(TEST, tested)) == [
        f"training pixels end at {trained} and test pixels end at {tested}: bring both parts to the same "
        "range, from 0 to 255"
    ]


@pytest.mark.parametrize(("trained", "tested"), [(255, 128), (200, 255), (17, 17)])
def test_ranges_may_differ_as_pictures_do(trained, tested):
    assert odd(ending_at(TRAIN, trained), ending_at(TEST, tested)) == []


@pytest.mark.parametrize("part", ["training", "test"])
@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 {} image has the same value in every pixel: remove it"),
        (2, "2 {} images have the same value in every pixel: remove them"),
    ],
)
def test_constant_images_of_either_part(part, count, said):
    data = TRAIN if part == "training" else TEST
    images = data.images.clone()
    images[:count] = torch.tensor([3, 4], dtype=torch.uint8)[:count, None, None, None]
    parts = (changed(data, images), TEST) if part == "training" else (TRAIN, changed(data, images))
    assert odd(*parts) == [said.format(part)]


@pytest.mark.parametrize("part", ["training", "test"])
def test_a_few_copies_are_a_fact_and_many_are_odd(part):
    """Up to one of a hundred; 150 training and 102 test images each may have one."""
    data = TRAIN if part == "training" else TEST
    for count in (1, 2):
        images = data.images.clone()
        places = [CLASSES, 2 * CLASSES][:count]
        images[places] = data.images[0]
        parts = (changed(data, images), TEST) if part == "training" else (TRAIN, changed(data, images))
        such = "; ".join(f"{part} image {place} and {part} image 0" for place in places)
        are = "is a copy of another" if count == 1 else "are copies of others"
        said = (f"{count} of {len(data)} {part} images {are} of them, such as {such}",)
        found = findings(*parts, CLASSES)
        assert (found.odd, found.facts) == (((), said) if count == 1 else (said, ()))


def test_classes_that_are_absent_or_only_trained_or_only_tested():
    """Trained are ant and bee, tested bee and cow, and of dog there is nothing."""
    train = changed(TRAIN, labels=TRAIN.labels % 2)
    test = changed(TEST, labels=1 + TEST.labels % 2)
    names = ("ant", "bee", "cow", "dog")
    only, absent, untested = odd(train, test, 4, names)
    assert "only test images have: cow;" in only
    assert "without images: dog;" in absent
    assert "without test images: ant;" in untested
    (absent,) = odd(train, TEST.none, 2 + 1, names)
    assert "without images: cow;" in absent


def test_of_many_classes_the_first_are_named():
    assert "0, 1, 2" not in odd(TRAIN, classes=100)[0]
    assert odd(TRAIN, classes=100)[0].startswith("classes without images: 3, 4, 5, 6, 7, 8, 9, 10, 11, ")
    assert "14 and 85 more;" in odd(TRAIN, classes=100)[0]


def test_test_images_that_are_trained_on():
    test = changed(TEST, torch.cat([TRAIN.images[[3, 7]], TEST.images[2:]]))
    assert odd(TRAIN, test) == [
        "2 of 102 test images are training images too, such as test image 0 and training image 3; "
        "test image 1 and training image 7: scores on them mean little"
    ]
    test = changed(TEST, torch.cat([TRAIN.images[[3]], TEST.images[1:]]))
    assert odd(TRAIN, test) == [
        "1 of 102 test images is a training image too, such as test image 0 and training image 3: scores on "
        "it mean little"
    ]


def test_images_in_several_classes_are_named_beside_the_first_wherever_it_is():
    """The first is trained on; its copies are one more training image, and two test images."""
    train, test = TRAIN.images.clone(), TEST.images.clone()
    train[4], test[2], test[3] = train[0], train[0], train[0]
    test[7] = test[5]
    said = odd(changed(TRAIN, train), changed(TEST, test))
    assert said[0].startswith(
        "2 images are there with several labels, such as training image 0 is 0 and training image 4 is 1; "
        "test image 5 is 2 and test image 7 is 1: "
    )
    assert said[1].startswith(
        "2 of 102 test images are training images too, such as test image 2 and training image 0; test image "
        "3 and training image 0: "
    )
    assert said[2] == (
        "2 of 102 test images are copies of others of them, such as test image 3 and test image 2; test "
        "image 7 and test image 5"
    )


def test_every_image_is_looked_at_once(monkeypatch):
    looked_at = []
    digests = findings_module._digests
    monkeypatch.setattr(
        findings_module, "_digests", lambda data: looked_at.append(len(data)) or digests(data)
    )
    findings(TRAIN, TEST, CLASSES)
    assert looked_at == [len(TRAIN), len(TEST)]


@pytest.mark.parametrize("count", [3, 4])
def test_of_many_that_are_there_twice_a_few_are_named(count):
    test = changed(TEST, torch.cat([TRAIN.images[:count], TEST.images[count:]]))
    (said,) = odd(TRAIN, test)
    assert said.startswith(f"{count} of 102")
    assert [f"test image {place} and" in said for place in range(count)] == [True] * 3 + [False] * (count - 3)


@pytest.mark.parametrize(("one", "other"), [("training", "training"), ("training", "test"), ("test", "test")])
def test_an_image_in_several_classes_is_named_with_them(one, other):
    """However few there are, and wherever: the first image of each part is an ant, the second a bee."""
    parts = {"training": TRAIN.images.clone(), "test": TEST.images.clone()}
    parts[other][1] = parts[one][0]
    train, test = changed(TRAIN, parts["training"]), changed(TEST, parts["test"])
    said = odd(train, test, names=("ant", "bee", "cow"))[0]
    assert said == (
        f"1 image is there with several labels, such as {one} image 0 is ant and {other} image 1 is bee: "
        "nobody can learn both; remove what is wrong"
    )


def test_an_image_that_is_there_twice_with_one_label_is_not_in_several_classes():
    images = TRAIN.images.clone()
    images[CLASSES] = images[0]
    assert not any("several labels" in said for said in odd(changed(TRAIN, images)))


@pytest.mark.parametrize("splits", [True, False])
@pytest.mark.parametrize("form", [None, ImageForm(3, 4)])
def test_files_are_named_by_their_paths_and_images_of_arrays_by_their_places_there(splits, form, tmp_path):
    """Also after a share was split off to test with, and in another size."""
    data = some(60, size=28)
    data.images[[30, 36]] = data.images[[3, 6]]
    found = [
        read_place(place, Wanted(form), split_test=splits)
        for place in (write_pictures(tmp_path / "x", data), write_npz(tmp_path / "a.npz", train=data))
    ]
    by_path, by_place = (
        " ".join(findings(each.train, each.test or each.train.none, CLASSES).odd) for each in found
    )
    for place in (3, 6, 30, 36):
        assert f"{tmp_path / 'x' / 'a'}/{place:03}.png" in by_path
        assert f"training image {place}" in by_place


@pytest.mark.parametrize("is_part", [False, True])
def test_images_that_join_others_are_named_by_their_places_where_they_lie(is_part, tmp_path):
    """Of 60 training and 12 validation images, none is training image 64."""
    train, more, test = some(60), some(12, seed=1), some(9, seed=2)
    more.images[4], more.images[8] = train.images[7], test.images[2]
    place = write_npz(tmp_path / "a.npz", train=train, val=more, test=test)
    found = read_place(place, Wanted(is_part=is_part))
    about = findings(found.train, found.test, CLASSES)
    above = f"{place}, " if is_part else ""
    said = " ".join((*about.odd, *about.facts))
    assert f"such as {above}validation image 4 and {above}training image 7" in said
    assert f"such as {above}test image 2 and {above}validation image 8" in said


def test_images_for_validation_that_are_tested_on_are_called_so(tmp_path):
    train, more = some(60), some(12, seed=1)
    more.images[4] = train.images[7]
    found = read_place(write_npz(tmp_path / "a.npz", train=train, val=more), Wanted())
    said = " ".join(findings(found.train, found.test, CLASSES).odd)
    assert "validation image 4 and training image 7" in said


@pytest.mark.parametrize("holders", [1, 2])
def test_images_of_holders_that_join_others_are_named_too(holders, tmp_path):
    for holder in range(holders):
        parts = [some(count, seed=3 * holder + place) for place, count in enumerate((60, 12, 9))]
        parts[1].images[4] = parts[0].images[7]
        write_npz(tmp_path / f"{holder}.npz", **dict(zip(("train", "val", "test"), parts, strict=True)))
    found = read_holders(tmp_path, Wanted())
    said = " ".join((about := findings(found.train, found.test, CLASSES)).odd + about.facts)
    for holder in range(holders):
        of = tmp_path / f"{holder}.npz"
        assert f"{of}, validation image 4 and {of}, training image 7" in said


def test_images_of_holders_are_named_with_their_holder(tmp_path):
    ann, bob = some(60), some(60, seed=1)
    bob.images[33] = ann.images[6]
    for name, data in (("ann", ann), ("bob", bob)):
        write_npz(tmp_path / f"{name}.npz", train=data)
    found = read_holders(tmp_path, Wanted(), split_test=False)
    said = " ".join(findings(found.train, found.train.none, CLASSES).facts)
    assert f"{tmp_path / 'bob.npz'}, training image 33 and {tmp_path / 'ann.npz'}, training image 6" in said


@pytest.mark.parametrize(
    "names",
    [
        ("Cat", "cat", "dog"),
        ("dog", "big cat", "big  cat"),
        ("CAT", "dog", "cat"),
        ("x ", "x", "X"),
        ("fish", "dog", "\N{LATIN SMALL LIGATURE FI}sh"),
        ("100", "\N{FULLWIDTH DIGIT ONE}00", "dog"),
    ],
)
def test_names_of_classes_that_look_the_same(names):
    said = odd(TRAIN, names=names)
    alike = [name for name in names if name != "dog"]
    if max(map(len, alike)) < 3:
        assert said == []
    else:
        both = f"classes {alike[0]!r} and {alike[1]!r}"
        assert said == [
            f"{both} look the same but for capitals, spaces or forms of letters: if they are one class, give "
            "them one name"
        ]


def test_all_that_is_odd_of_a_useless_set_is_said_at_once():
    """Ten classes, of which two are tested, and all pixels are zero."""
    train, test = (
        LabelledImages(torch.zeros(n, 1, 6, 6, dtype=torch.uint8), torch.arange(n) % 10) for n in (300, 2)
    )
    said = " | ".join(odd(train, test, 10))
    for part in (
        "300 training images have the same value",
        "2 test images have the same value",
        "classes without test images: 2, 3, 4, 5, 6, 7, 8, 9;",
        "2 of 2 test images are training images too",
        "299 of 300 training images are copies",
        f"fewer than {FEW_A_CLASS} training images of every class",
        "2 test images, fewer than 100: scores may be off by 36 points by chance",
    ):
        assert part in said


def test_that_all_have_one_label_is_said():
    train, test = (changed(data, labels=torch.full_like(data.labels, 1)) for data in (TRAIN, TEST))
    said = "all training images have the label bee: were other numbers taken for labels?"
    assert said in odd(train, test, 2, ("ant", "bee"))


@pytest.mark.parametrize("name", ["images", "7"])
def test_pictures_in_one_folder_are_said_to_need_one_for_each_class(name, tmp_path):
    """As beside a table of names and labels; a second folder, or an archive, is something else."""
    said = f"one class only, {name}: a folder of pictures needs one folder for each class; "
    write_pictures(tmp_path / "a", TRAIN, names=[name] * CLASSES)
    (tmp_path / "a" / "train.csv").write_text("name,label\n000.png,0\n")
    wanted = Wanted(classes=None if name == "images" else 8)
    one = read_place(tmp_path / "a", wanted)
    names = one.class_names
    assert any(each.startswith(said) for each in odd(one.train, one.test, 8, names))
    write_pictures(tmp_path / "a", some(60), names=["8"] * 3)
    two = read_place(tmp_path / "a", Wanted(classes=9) if name == "7" else Wanted())
    assert not any("one class only" in each for each in odd(two.train, two.test, 9, two.class_names))


def test_too_few_to_learn_from_or_to_test_with():
    assert odd(some(14)) == [
        "fewer than 50 training images of every class: too few to learn from, unless other clients have more"
    ]
    rare = changed(TRAIN, labels=(torch.arange(len(TRAIN)) < FEW_A_CLASS - 1).long())
    test = changed(TEST, labels=TEST.labels % 2)
    assert odd(rare, test, 2, ("ant", "bee")) == [
        "fewer than 50 training images of bee: too few to learn from, unless other clients have more"
    ]
    assert odd(TRAIN, some(99, seed=1)) == [
        "99 test images, fewer than 100: scores may be off by 6 points by chance"
    ]
    assert "1 test image, fewer than 100: scores may be off by 50 points by chance" in odd(
        TRAIN, some(1, seed=1)
    )


def test_images_that_take_much_memory(monkeypatch):
    """Those of both parts together; the bound is another here, since nobody waits for gigabytes."""
    held = TRAIN.images.numel() + TEST.images.numel()
    monkeypatch.setattr(findings_module, "_MANY_BYTES", held)
    assert odd(TRAIN) == []
    monkeypatch.setattr(findings_module, "_MANY_BYTES", held - 1)
    assert odd(TRAIN) == ["the images take 0.0 GiB of memory in every process"]
