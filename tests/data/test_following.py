"""Networks that follow the data: which family, how many classes, grey or colour."""

from dataclasses import replace

import pytest

from huscf_flwr.data import DataError, following_data, networks_told, write_idx_folder
from huscf_flwr.data import registry as registry_module
from huscf_flwr.data.domains import load_domain
from huscf_flwr.data.registry import register_domain
from huscf_flwr.models import model_spec_of
from tests.data.formats.writing import some, write_npz, write_pictures, write_table
from tests.run.builders import small_run


@pytest.fixture
def follow(tmp_path):
    def run(domains, **settings):
        said = {"model.spec": "auto", "data.domains": domains, **settings}
        return following_data(small_run(tmp_path, tmp_path, **said)).model

    return run


WRITE = {
    "npz": lambda place, data: write_npz(place.with_suffix(".npz"), train=data),
    "table": lambda place, data: write_table(place.with_suffix(".csv"), data),
    "pictures": lambda place, data: write_pictures(place, data, names="abcdefghijk"),
    "idx": lambda place, data: write_idx_folder(place, data, data),
}


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize(
    ("size", "channels", "spec"),
    [
        (8, 1, "authors-28"),
        (28, 3, "authors-28"),
        (32, 1, "colour-32"),
        (33, 3, "colour-32"),
        (64, 3, "images-64"),
    ],
)
def test_the_family_that_fits_is_taken(form, size, channels, spec, follow, tmp_path):
    WRITE[form](tmp_path / "own", some(11, classes=7, size=size, channels=channels))
    model = follow("own")
    assert (model.spec, model.classes, model.channels) == (spec, 7, channels)


def test_the_largest_domain_decides_and_a_colour_of_one_is_for_all(follow, tmp_path):
    write_npz(tmp_path / "grey.npz", train=some(9, classes=9, size=64))
    write_npz(tmp_path / "colour.npz", train=some(9, classes=4, size=28, channels=3))
    model = follow("colour,grey-rotated")
    assert (model.spec, model.classes, model.channels) == ("images-64", 9, 3)


def test_what_the_configuration_says_is_left_as_it_is(follow):
    model = follow("digits", **{"model.classes": 12, "model.channels": 3})
    assert (model.spec, model.classes, model.channels) == ("authors-28", 12, 3)
    assert follow("cifar10", **{"model.spec": "authors-28"}).channels is None


def cut(data, height, width):
    return replace(data, images=data.images[:, :, :height, :width])


TOLD = [
    (
        [(30, 64), (30, 50)],
        "pad",
        "30 x 50, 30 x 64 pixels (height first), grey, 2 classes; they are padded with black and brought to "
        "the networks' 64 x 64",
    ),
    (
        [(30, 70)],
        "stretch",
        "30 x 70 pixels (height first), grey, 2 classes; they are stretched to the networks' 64 x 64",
    ),
    (
        [(30, 70), (64, 64), (50, 50)],
        "pad",
        "30 x 70, 50 x 50, 64 x 64 pixels (height first), grey, 2 classes; others are brought to the "
        "networks' 64 x 64, padded with black unless square",
    ),
    (
        [(30, 64), (64, 64)],
        "pad",
        "30 x 64, 64 x 64 pixels (height first), grey, 2 classes; others are padded with black to the "
        "networks' 64 x 64",
    ),
    ([(28, 28)], "pad", "28 x 28 pixels, grey, 2 classes"),
    ([(8, 8)], "pad", "8 x 8 pixels, grey, 2 classes; they are enlarged to the networks' 28 x 28"),
    (
        [(30, 50)],
        "pad",
        "30 x 50 pixels (height first), grey, 2 classes; they are padded with black and enlarged to the "
        "networks' 64 x 64",
    ),
    (
        [(30, 64)],
        "pad",
        "30 x 64 pixels (height first), grey, 2 classes; they are padded with black to the networks' 64 x 64",
    ),
    (
        [(30, 70)],
        "crop",
        "30 x 70 pixels (height first), grey, 2 classes; they are cropped to the middle and enlarged to the "
        "networks' 64 x 64",
    ),
    (
        [(64, 64), (70, 70), (28, 28), (28, 28)],
        "pad",
        "28 x 28, 64 x 64, 70 x 70 pixels, grey, 2 classes; others are enlarged or shrunk to the networks' "
        "64 x 64",
    ),
]


@pytest.mark.parametrize(("sizes", "fit", "said"), TOLD)
def test_it_is_told_how_the_images_lie_and_what_is_done_with_them(sizes, fit, said, tmp_path):
    for number, (height, width) in enumerate(sizes):
        data = cut(some(6, classes=2, size=max(height, width)), height, width)
        write_npz(tmp_path / f"d{number}.npz", train=data)
    names = ",".join(f"d{number}" for number in range(len(sizes)))
    asked = {"model.spec": "auto", "data.domains": names, "data.fit": fit}
    told = networks_told(following_data(small_run(tmp_path, tmp_path, **asked)))
    assert told.partition(" for these images: ")[2] == said


@pytest.mark.parametrize(
    ("fit", "done"),
    [
        ("pad", "brought to the networks' 64 x 64, padded with black unless square"),
        ("crop", "brought to the networks' 64 x 64, cropped to the middle unless square"),
        ("stretch", "stretched to the networks' 64 x 64"),
    ],
)
def test_of_pictures_that_differ_nothing_is_said_that_is_true_of_some_only(fit, done, tmp_path):
    """None has the medians, some are enlarged and some shrunk, and most are square."""
    for number, (height, width) in enumerate([(50, 50), (100, 100), (50, 50), (30, 70)]):
        data = cut(some(3, size=max(height, width)), height, width)
        write_pictures(tmp_path / "own", data, names=[f"{label}/{number}" for label in "abc"])
    asked = {"model.spec": "auto", "data.domains": "own", "data.fit": fit}
    told = networks_told(following_data(small_run(tmp_path, tmp_path, **asked)))
    assert told.partition(" for these images: ")[2] == (
        f"medians 50 x 60 pixels (height first), grey, 3 classes; they are {done}"
    )


@pytest.mark.parametrize(
    ("images", "channels", "said"),
    [
        ((1,), "null", "grey, 3 classes"),
        ((3,), "null", "colour, 3 classes"),
        ((1, 3), "null", "grey and colour, 3 classes; the networks have them in colour"),
        ((3,), 1, "colour, 3 classes; the networks have them in grey"),
        ((1,), 3, "grey, 3 classes; the networks have them in colour"),
        ((1, 3), 1, "grey and colour, 3 classes; the networks have them in grey"),
    ],
)
def test_it_is_told_whether_the_networks_have_other_colours(images, channels, said, tmp_path):
    for each in images:
        write_npz(tmp_path / f"d{each}.npz", train=some(6, channels=each, size=64))
    names = ",".join(f"d{each}" for each in images)
    asked = {"model.spec": "auto", "data.domains": names, "model.channels": channels}
    told = networks_told(following_data(small_run(tmp_path, tmp_path, **asked)))
    assert told.partition(" for these images: 64 x 64 pixels, ")[2] == said


def test_of_pictures_that_differ_in_size_the_medians_are_told(tmp_path):
    write_pictures(tmp_path / "own", some(9, classes=3, size=32))
    write_pictures(tmp_path / "own", some(1, classes=1, size=8), names=["odd"])
    asked = {"model.spec": "auto", "data.domains": "own"}
    told = networks_told(following_data(small_run(tmp_path, tmp_path, **asked)))
    assert told.partition(" for these images: ")[2] == (
        "medians 32 x 32 pixels (height first), grey, 4 classes; others are brought to the networks' 32 x 32"
    )


NAMED = {"model.spec": "colour-32"}


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize("classes", [3, 11])
def test_a_family_that_is_named_has_as_many_classes_as_the_images(form, classes, follow, tmp_path):
    WRITE[form](tmp_path / "own", some(22, classes=classes))
    WRITE[form](tmp_path / "fewer", some(8, classes=2))
    model = follow("fewer,own-inverted", **NAMED)
    assert (model.spec, model.classes, model.channels) == ("colour-32", classes, None)


def test_where_the_images_have_as_many_classes_as_the_family_nothing_is_said(follow, tmp_path):
    """So configurations, and what is compared by them, are those of before."""
    write_npz(tmp_path / "own.npz", train=some(20, classes=10))
    for domains in ("own", "digits,letters", "mnist,cifar10", "mnist-inverted,fashion-mnist-rotated"):
        assert follow(domains, **NAMED).classes is None


def test_classes_that_are_said_and_those_of_a_run_that_goes_on_are_not_asked_of_images(follow, tmp_path):
    write_npz(tmp_path / "own.npz", train=some(9))
    assert follow("own", **NAMED, **{"model.classes": 7}).classes == 7
    assert follow("own", **NAMED, resume=tmp_path / "run").classes is None


def test_a_name_that_nobody_knows_is_left_to_who_loads_it(follow):
    assert follow("nowhere", **NAMED).classes is None


def test_domains_that_are_registered_need_no_download(follow):
    assert (follow("cifar10,digits").spec, follow("cifar10,digits").channels) == ("colour-32", 3)


def test_a_domain_that_was_registered_without_a_shape_is_loaded(follow, monkeypatch):
    monkeypatch.setattr(registry_module, "_REGISTRY", dict(registry_module._REGISTRY))
    register_domain("mine", classes=5)(lambda _: (some(10, classes=5, size=50), some(5, classes=5, size=50)))
    assert (follow("mine").spec, follow("mine").classes) == ("images-64", 5)


def test_an_unknown_domain_is_named(follow):
    with pytest.raises(DataError, match="nowhere"):
        follow("nowhere")


def test_an_unknown_domain_is_told_as_by_who_loads_it(follow, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"^unknown domain 'photo' \(did you mean 'photos'\?\)") as told:
        follow("photo")
    with pytest.raises(DataError) as loaded:
        load_domain("photo", root=tmp_path, cache=tmp_path / "cache", image=(1, 28))
    assert str(told.value) == str(loaded.value)


def test_an_unknown_domain_of_so_many_classes_is_named_too(follow, tmp_path):
    (tmp_path / "own.yaml").write_text("domains: [{name: nowhere, classes: 3}]")
    with pytest.raises(DataError, match="nowhere"):
        follow("null", **{"data.scenario": tmp_path / "own.yaml"})


def test_networks_of_another_form_draw_and_judge_it(tmp_path):
    said = {"model.spec": "images-64", "model.classes": 7, "model.channels": 1}
    spec = model_spec_of(small_run(tmp_path, tmp_path, **said))
    assert (spec.classes, spec.generator_shapes[-1], spec.discriminator_shapes[-1]) == (7, (1, 64, 64), (1,))


def test_networks_that_follow_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"model\.spec: auto .* authors-28, colour-32, images-64"):
        model_spec_of(small_run(tmp_path, tmp_path, **{"model.spec": "auto"}))


def test_images_laid_over_colour_are_in_colour_and_keep_their_size(follow, tmp_path):
    write_npz(tmp_path / "photos.npz", train=some(9, classes=4, size=64, channels=3))
    model = follow("digits-over-photos-inverted")
    assert (model.spec, model.classes, model.channels) == ("authors-28", 10, 3)


def test_all_holders_of_a_domain_are_looked_at(tmp_path):
    write_npz(holder_file(tmp_path, "ann"), train=some(6, classes=2, size=32))
    write_npz(holder_file(tmp_path, "bob"), train=some(6, classes=5, size=32))
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("domains: [{name: voices, by_holder: true}]")
    model = following_data(
        small_run(
            tmp_path, tmp_path, **{"model.spec": "auto", "data.scenario": scenario, "data.domains": "null"}
        )
    ).model
    assert (model.spec, model.classes, model.channels) == ("colour-32", 5, 1)


def test_networks_are_in_colour_if_any_holders_images_are(tmp_path):
    write_pictures(tmp_path / "Voices" / "ann", some(6, size=32))
    write_pictures(tmp_path / "Voices" / "bob", some(6, size=32, channels=3))
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("domains: [{name: voices, by_holder: true}]")
    said = {"model.spec": "auto", "data.scenario": scenario, "data.domains": "null"}
    assert following_data(small_run(tmp_path, tmp_path, **said)).model.channels == 3


def holder_file(root, name):
    (root / "Voices").mkdir(exist_ok=True)
    return root / "Voices" / f"{name}.npz"


@pytest.mark.parametrize(
    ("derived", "classes"), [("{name: a-over-b, classes: 6}", 6), ("b-inverted-over-a", 4), ("a-inverted", 4)]
)
def test_what_a_domain_is_derived_from_may_lie_anywhere(derived, classes, tmp_path):
    """The scenario names the folders of both, and neither lies below `data.root`."""
    write_npz(tmp_path / "mine.npz", train=some(9, classes=4, size=64))
    write_npz(tmp_path / "theirs.npz", train=some(9, classes=2, size=40, channels=3))
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        f"domains: [{derived}, {{name: a, folder: mine.npz}}, {{name: b, folder: theirs.npz}}]"
    )
    said = {"model.spec": "auto", "data.scenario": scenario, "data.domains": "null"}
    model = following_data(small_run(tmp_path, tmp_path, **said)).model
    assert (model.spec, model.classes, model.channels) == ("images-64", classes, 3)
