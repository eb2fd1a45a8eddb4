import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from huscf_flwr import conf_files
from huscf_flwr.conf_files import (
    ConfError,
    Strict,
    did_you_mean,
    find_conf,
    known_confs,
    read_yaml,
    validate,
)


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    colour: str = "red"


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int
    inner: Inner = Inner()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A package in a checkout, with `conf/` both beside it and, as in a wheel, in it."""
    package = tmp_path / "checkout" / "package"
    beside, within = package.parent / "conf" / "models", package / "conf" / "models"
    beside.mkdir(parents=True)
    within.mkdir(parents=True)
    (within / "small.yaml").write_text("size: 1")
    (beside / "small.yaml").write_text("size: 2")
    (beside / "large.yaml").write_text("size: 3")
    monkeypatch.setattr(conf_files, "_PACKAGE", package)
    return within, beside


def test_conf_in_the_package_takes_precedence(folders):
    """Another project's `conf` folder in site-packages must not hide a wheel's own files."""
    within, beside = folders
    assert find_conf("models", "small") == within / "small.yaml"
    assert find_conf("models", "large") == beside / "large.yaml"
    assert known_confs("models") == ("large", "small")


def test_an_existing_file_takes_precedence_over_a_name(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").write_text("size: 4")
    assert find_conf("models", "small") == Path("small")


def test_a_folder_of_the_same_name_does_not_hide_a_name(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    assert find_conf("models", "small") == folders[0] / "small.yaml"


@pytest.mark.usefixtures("folders")
def test_an_unknown_name_lists_the_known_ones_and_suggests_the_nearest():
    with pytest.raises(ConfError, match=r"'smal'.*did you mean 'small'.*Known: large, small"):
        find_conf("models", "smal")


def test_without_a_similar_name_there_is_no_suggestion():
    assert did_you_mean("zzzz", ["small", "large"]) == ""


@pytest.mark.parametrize("name", ["{}/demmo.yaml", "{}/my-rum.yaml", "{}/none/my-run.yaml", "{}/x.yml"])
def test_a_path_that_is_no_file_is_called_so_and_names_near_it_are_suggested(name, tmp_path):
    (tmp_path / "my-run.yaml").touch()
    (tmp_path / "my-run.txt").touch()
    path = name.format(tmp_path)
    with pytest.raises(ConfError) as caught:
        find_conf("runs", path)
    near = {"demmo": " (did you mean 'demo'?)", "my-rum": f" (did you mean '{tmp_path}/my-run.yaml'?)"}
    hint = near.get(Path(path).stem, "") if "none" not in path else ""
    assert str(caught.value).startswith(f"{path}: no such file{hint}. Known: ")


def test_a_folder_where_a_file_should_be_is_called_so(tmp_path):
    with pytest.raises(ConfError, match=rf"{tmp_path}: a folder, not a file"):
        find_conf("runs", tmp_path)


def test_a_name_with_the_end_of_a_file_is_one_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-run.yaml").touch()
    with pytest.raises(ConfError, match=r"^my-rum\.yaml: no such file \(did you mean 'my-run\.yaml'\?\)"):
        find_conf("runs", "my-rum.yaml")


@pytest.mark.parametrize("name", ["conf/runs/demo", "./conf/runs/demo", "my-rum.yaml", "{}/my-rum"])
def test_a_file_that_is_suggested_is_one_where_the_user_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "runs").mkdir(parents=True)
    (tmp_path / "conf" / "runs" / "demo.yaml").touch()
    (tmp_path / "my-run.yaml").touch()
    with pytest.raises(ConfError) as caught:
        find_conf("runs", name.format(tmp_path))
    suggested = re.search(r"did you mean '([^']*)'", str(caught.value))[1]
    assert find_conf("runs", suggested).resolve() in (
        tmp_path / "conf" / "runs" / "demo.yaml",
        tmp_path / "my-run.yaml",
    )


def test_capitals_do_not_hide_a_name():
    assert did_you_mean("MNIST", ["mnist", "kmnist"]) == " (did you mean 'mnist'?)"
    assert did_you_mean("mnist", ["MNIST"]) == " (did you mean 'MNIST'?)"


@pytest.mark.parametrize("content", ["- a\n- b", "just words", ""])
def test_yaml_that_is_not_a_mapping_is_refused(content, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(content)
    with pytest.raises(ConfError, match="expected 'key: value' lines"):
        read_yaml(path)


def test_a_file_that_is_not_yaml_is_refused_by_name(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: [1")
    with pytest.raises(ConfError, match=r"a\.yaml, line 1, column 6: cannot be read"):
        read_yaml(path)


def test_valid_content_becomes_the_model():
    assert validate(Outer, {"count": 2, "inner": {"colour": "blue"}}, "here").inner.colour == "blue"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"count": 1, "inner": {"color": "x"}}, r"unknown key 'inner.color' \(did you mean 'inner.colour'"),
        ({"cuont": 1}, r"'count' is missing.*'cuont' \(did you mean 'count'"),
        ({"count": "many"}, "'count' is 'many'"),
    ],
)
def test_errors_name_source_key_and_value(content, message):
    with pytest.raises(ConfError, match=f"my-file: .*{message}"):
        validate(Outer, content, "my-file")


def test_a_list_is_not_called_too_short_for_items_that_are_wrong():
    class Several(Strict):
        inner: tuple[Inner, ...] = Field(min_length=1)

    with pytest.raises(ConfError, match=r"^my-file: unknown key 'inner\.0\.color'[^;]*$"):
        validate(Several, {"inner": [{"color": "x"}]}, "my-file")
    with pytest.raises(ConfError, match="at least 1 item"):
        validate(Several, {"inner": []}, "my-file")


def test_an_error_names_the_source_of_its_own_key():
    wrong = {"cuont": 1, "inner": {"color": "x"}}
    sources = {"inner.color": "there"}
    with pytest.raises(ConfError, match=r"^here: 'count' is missing: add it; unknown key 'cuont'") as error:
        validate(Outer, wrong, lambda key: sources.get(key, "here"))
    assert "; there: unknown key 'inner.color'" in str(error.value)
