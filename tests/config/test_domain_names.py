"""What ``data.domains`` may be: names, at least one and each once; a path is told how it is named."""

import re

import pytest

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import from_run_config, load_config
from huscf_flwr.data.below_root import place_below


def refusal(said):
    with pytest.raises(ConfError) as caught:
        load_config("demo", [f"data.domains={said}"])
    told = str(caught.value)
    assert told.startswith(f"--set data.domains={said}: 'data.domains' is ")
    assert "\n" not in told
    assert "pydantic" not in told
    return told


@pytest.mark.parametrize("name", ["mnist", "own", "v1.2", "PACS-photo", "digits_2", "own.npz"])
def test_names_are_taken_as_they_are(name):
    assert load_config("demo", [f"data.domains=digits, {name}"]).data.domains == ("digits", name)
    assert from_run_config({"data.domains": name}).data.domains == (name,)


IN_A_FOLDER = ("PACS/photo.npz", "PACS/photo", "a.b/c")
DIRECTLY = ("own.npz", "own.csv.gz", "v1.2.npz")
"""Names as well, as long as nothing stands before them."""


@pytest.mark.parametrize(
    ("file", "form"),
    [
        *((file, "{}") for file in IN_A_FOLDER),
        *((file, form) for file in (*IN_A_FOLDER, *DIRECTLY) for form in ("./{}", "digits,./{}")),
    ],
)
def test_a_path_is_told_the_name_with_which_it_is_found_below_the_root(file, form, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.touch() if path.suffix in (".npz", ".gz") else path.mkdir()
    meant = re.search("below data.root without its ending, '(.*?)'", refusal(form.format(file))).group(1)
    assert place_below(tmp_path, meant) == path


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("./own.npz", "own"),
        ("/data/own.npz", "own"),
        ("../own.csv.gz", "own"),
        ("~/images/my photos", "my-photos"),
        ("a/b/c.npz", "c"),
        ("my photos", "my-photos"),
        ("..", "mine"),
        ("/", "mine"),
    ],
)
def test_what_is_no_name_is_told_how_the_scenarios_file_says_it(said, name):
    assert f"write {{name: {name}, folder: {said}}} in the scenario's file" in refusal(said)


@pytest.mark.parametrize("said", ["/data/own.npz", "../own.npz", "~/own.npz", "a/b/c.npz", "my photos", ".."])
def test_what_cannot_lie_below_the_root_is_not_told_a_name_there(said):
    assert "data.root" not in refusal(said)


@pytest.mark.parametrize("said", ["[]", "''", "own,", "own,,digits", "[own, '']"])
def test_no_names_at_all_and_empty_ones_are_told_what_is_wanted(said):
    assert refusal(said).endswith(
        "names of domains are wanted, such as mnist,kmnist; or null for the scenario's own"
    )


def test_a_name_that_stands_twice_is_told():
    assert refusal("own,digits,own").endswith("each domain can be named only once; remove one 'own'")
