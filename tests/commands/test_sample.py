"""`huscf sample`: what it writes, and what it says where a run has no such images."""

import shutil

import pytest

from tests.commands.invoking import invoke, refused, run_demo, succeeded
from tests.full_disk import full_disk


@pytest.mark.slow
def test_a_labelled_image_folder_is_written(trained, tmp_path):
    folder, _ = trained
    for choice in (("--domain", "digits"), ("--product", "cluster-1")):
        output = tmp_path / choice[0]
        shown = succeeded(invoke("sample", folder, *choice, "--label", 3, "-n", 5, "-o", output))
        assert "5 images" in shown
        assert len(list((output / "3").glob("*.png"))) == 5


@pytest.mark.slow
def test_on_a_full_disk_the_image_is_named(trained, tmp_path):
    drawn = ("--domain", "digits", "--label", 3, "-n", 4, "-o", tmp_path / "drawn")
    with full_disk():
        shown = refused(invoke("sample", trained[0], *drawn))
    assert f"it cannot be written: '{tmp_path / 'drawn' / '3'}'" in shown
    assert list((tmp_path / "drawn").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--product", "cluster-0", "--label", "10"], "--label 10: the run has the labels 0 to 9"),
        (["--product", "cluster-9", "--label", "1"], "--product cluster-9"),
        (["--domain", "kana", "--label", "1"], "--domain kana"),
        (["--label", "1"], "--product or --domain"),
    ],
)
def test_what_the_run_does_not_have_is_named(trained, arguments, message):
    folder, _ = trained
    assert message in refused(invoke("sample", folder, *arguments))


@pytest.mark.parametrize(("name", "message"), [("", "has no config.yaml"), ("nowhere", "is no folder")])
def test_a_folder_without_a_run_is_named(tmp_path, name, message):
    folder = tmp_path / name
    output = refused(invoke("sample", folder, "--product", "cluster-0", "--label", 1))
    assert f"{folder} {message}; give the folder of a run, such as runs/demo" in output


@pytest.mark.slow
def test_a_run_with_one_product_needs_no_choice(images, tmp_path):
    succeeded(run_demo(images, tmp_path / "runs", **{"method": "fedgan", "evaluation.synthetic_images": 0}))
    succeeded(invoke("sample", tmp_path / "runs" / "small", "--label", 0, "-n", 2, "-o", tmp_path / "out"))
    assert len(list((tmp_path / "out" / "0").glob("*.png"))) == 2


@pytest.mark.slow
def test_a_damaged_generator_is_named_in_one_line(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    for path in (folder / "generators").iterdir():
        path.write_bytes(path.read_bytes()[:20])
    drawn = ("--domain", "digits", "--label", 3, "-n", 4, "-o", tmp_path / "drawn")
    shown = refused(invoke("sample", folder, *drawn))
    assert str(folder / "generators") in shown
    assert len(shown.strip().splitlines()) == 1
    assert not (tmp_path / "drawn").exists()
