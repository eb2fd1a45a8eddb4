import json
import shutil

import numpy as np
import pytest
from PIL import Image

from huscf_flwr.conf_files import ConfError
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_summary
from huscf_flwr.run.sampling import _number_of, draw_labelled_images
from tests.data.formats.writing import some, write_pictures
from tests.run.builders import UNJUDGED, SilentDisplay, small_run


@pytest.fixture(scope="module")
def run_folder(images, tmp_path_factory):
    config = small_run(images, tmp_path_factory.mktemp("runs"), **{"huscf.clusters": 2})
    train_locally(config, display=SilentDisplay())
    return config.folder


@pytest.fixture(scope="module")
def single_product(images, tmp_path_factory):
    settings = {"method": "fedgan", "rounds": 1, **UNJUDGED}
    config = small_run(images, tmp_path_factory.mktemp("fedgan"), **settings)
    train_locally(config, display=SilentDisplay(), judged=False)
    return config.folder


def pixels(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


@pytest.mark.slow
def test_images_lie_in_the_folder_of_their_label(run_folder, tmp_path):
    folder = draw_labelled_images(run_folder, label=3, count=5, output=tmp_path, product="cluster-0")
    assert folder == tmp_path / "3"
    drawn = pixels(folder)
    assert drawn.shape == (5, 28, 28)
    assert drawn.dtype == np.uint8
    assert len(np.unique(drawn.reshape(5, -1), axis=0)) == 5


def test_a_seed_draws_the_same_images_again(run_folder, tmp_path):
    def draw(place, **changes):
        given = {"label": 3, "count": 4, "product": "cluster-0", "seed": 5, **changes}
        return pixels(draw_labelled_images(run_folder, output=tmp_path / place, **given))

    reference = draw("first")
    assert np.array_equal(draw("again"), reference)
    for place, change in (
        ("seed", {"seed": 6}),
        ("product", {"product": "cluster-1"}),
        ("label", {"label": 4}),
    ):
        assert not np.array_equal(draw(place, **change), reference), place


def test_a_domain_is_drawn_by_the_product_that_was_judged_for_it(run_folder, tmp_path):
    product = read_summary(run_folder)["domains"]["letters"]["product"]
    by_domain = draw_labelled_images(run_folder, label=0, count=2, output=tmp_path / "a", domain="letters")
    by_product = draw_labelled_images(run_folder, label=0, count=2, output=tmp_path / "b", product=product)
    assert np.array_equal(pixels(by_domain), pixels(by_product))


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    """A run on folders of pictures whose names are classes."""
    root = tmp_path_factory.mktemp("animals")
    for name in ("wild", "tame"):
        write_pictures(root / name, some(60, size=28), names=("ant", "bee", "cow"))
    config = small_run(
        root,
        root / "runs",
        **{
            "rounds": 1,
            "method": "fedgan",
            "evaluation.synthetic_images": 0,
            "data.domains": "wild,tame",
        },
    )
    train_locally(config, display=SilentDisplay())
    return config.folder


@pytest.mark.slow
@pytest.mark.parametrize(("label", "name"), [("bee", "bee"), ("1", "bee"), (2, "cow"), ("0", "ant")])
def test_a_class_has_its_name(animals, label, name, tmp_path):
    assert read_run(animals).classes == {domain: ["ant", "bee", "cow"] for domain in ("tame", "wild")}
    assert draw_labelled_images(animals, label=label, count=1, output=tmp_path) == tmp_path / name


def test_no_name_of_a_class_leads_out_of_the_output(animals, tmp_path):
    """Nor does drawing again delete what lies elsewhere."""
    run, theirs = shutil.copytree(animals, tmp_path / "run"), tmp_path / "evil" / "mine.png"
    for path in run.rglob("*.json"):
        path.write_text(
            path.read_text().replace('"bee"', '"../../evil"').replace('"cow"', '"T - shirt / top"')
        )
    theirs.parent.mkdir()
    theirs.touch()
    output = tmp_path / "a" / "b"
    for _ in range(2):
        evil = draw_labelled_images(run, label="../../evil", count=1, output=output, replace=True)
    shirt = draw_labelled_images(run, label=2, count=1, output=output)
    assert (
        {path.name for path in output.iterdir()} == {evil.name, shirt.name} == {"_.._evil", "T - shirt _ top"}
    )
    assert (len(pixels(evil)), len(pixels(shirt))) == (1, 1)
    assert theirs.exists()


def test_a_name_that_no_class_has_is_refused(animals, tmp_path):
    with pytest.raises(ValueError, match=r"--label dog: .* 0 to 2, which are ant, bee, cow"):
        draw_labelled_images(animals, label="dog", count=1, output=tmp_path)


@pytest.fixture
def two_vocabularies(animals, tmp_path):
    """The same run, but one of its domains has other names for the same labels."""
    run = shutil.copytree(animals, tmp_path / "run")
    names = {"tame": ["Hen", "Ox", "Sow"], "wild": ["ant", "bee", "cow"]}
    (run / "classes.json").write_text(json.dumps(names))
    return run


@pytest.mark.parametrize(
    ("label", "hint"), [("ox", r" \(did you mean --domain tame\?\)$"), ("dog", "with --domain$")]
)
def test_where_domains_have_names_of_their_own_it_is_said_whose_can_be_meant(
    two_vocabularies, tmp_path, label, hint
):
    where = r"the run has the labels 0 to 2; their names differ in tame, wild: say whose you mean .*"
    with pytest.raises(ValueError, match=f"--label {label}: {where}{hint}"):
        draw_labelled_images(two_vocabularies, label=label, count=1, output=tmp_path / "out")
    with pytest.raises(ValueError, match=f"--label {label}: {where}"):
        draw_labelled_images(
            two_vocabularies, label=label, count=1, output=tmp_path / "out", product="global"
        )


def test_with_the_domain_its_names_count(two_vocabularies, tmp_path):
    drawn = draw_labelled_images(two_vocabularies, label="ox", count=1, output=tmp_path, domain="tame")
    assert drawn == tmp_path / "Ox"
    with pytest.raises(ValueError, match=r"0 to 2, which are ant, bee, cow$"):
        draw_labelled_images(two_vocabularies, label="ox", count=1, output=tmp_path, domain="wild")


def test_a_run_with_one_product_needs_no_choice(single_product, tmp_path):
    alone = draw_labelled_images(single_product, label=1, count=2, output=tmp_path / "a")
    named = draw_labelled_images(single_product, label=1, count=2, output=tmp_path / "b", product="global")
    assert np.array_equal(pixels(alone), pixels(named))


def test_a_run_that_nobody_judged_has_no_domain_to_draw(single_product, tmp_path):
    with pytest.raises(ValueError, match=r"--domain digits: .* has judged no domain"):
        draw_labelled_images(single_product, label=1, count=2, output=tmp_path, domain="digits")


def test_images_of_two_draws_are_never_mixed(single_product, tmp_path):
    def draw(count, **how):
        return draw_labelled_images(single_product, label=1, count=count, output=tmp_path, **how)

    folder = draw(3)
    with pytest.raises(FileExistsError, match=r"1 is there already, with 00000\.png.*--force"):
        draw(2)
    assert len(pixels(folder)) == 3
    assert len(pixels(draw(2, replace=True))) == 2


def test_a_damaged_generator_is_named(single_product, tmp_path):
    folder = shutil.copytree(single_product, tmp_path / "copy")
    (path,) = (folder / "generators").iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"^{path} is damaged and cannot be read"):
        draw_labelled_images(folder, label=1, count=2, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": 10}, "--label 10: the run has the labels 0 to 9"),
        ({"label": -1}, "--label -1: the run has the labels 0 to 9"),
        ({"product": "cluster-7"}, "--product cluster-7: .* has the products cluster-0, cluster-1"),
        ({"product": None}, "give --product or --domain: .* has the products cluster-0, cluster-1"),
        ({"domain": "letters"}, "give either --product or --domain"),
        ({"product": None, "domain": "kana"}, "--domain kana: .* has judged digits, letters"),
    ],
)
def test_what_the_run_does_not_have_is_named(run_folder, tmp_path, changes, message):
    given = {"label": 0, "count": 1, "product": "cluster-0", "output": tmp_path / "out", **changes}
    with pytest.raises(ValueError, match=message):
        draw_labelled_images(run_folder, **given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("label", "number"),
    [
        ("Cat", 0),
        ("cat", 1),
        ("DOG", 2),
        ("dog", 2),
        ("Straße", 3),
        ("STRASSE", 3),
        ("4", 4),
        (2, 2),
        ("2", 2),
    ],
)
def test_capitals_of_a_class_do_not_matter_unless_names_differ_in_them_only(label, number):
    assert _number_of(label, ("Cat", "cat", "Dog", "straße"), 5) == number


@pytest.mark.parametrize(("label", "near"), [("CAT", "cat|Cat"), ("dogs", "Dog")])
def test_of_an_unknown_class_the_nearest_is_suggested(label, near):
    with pytest.raises(ValueError, match=rf"which are Cat, cat, Dog \(did you mean '({near})'\?\)"):
        _number_of(label, ("Cat", "cat", "Dog"), 3)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(ConfError, match=r"config\.yaml: no such file"):
        draw_labelled_images(tmp_path, label=0, count=1, product="cluster-0", output=tmp_path / "out")
