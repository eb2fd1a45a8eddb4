"""A class may be called anything; its folder lies where it should, is found again, and is its own."""

from hypothesis import example, given
from hypothesis import strategies as st

from huscf_flwr.data.class_folders import class_folders


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=9) | st.sampled_from("./\\_0 "), max_size=6))
@example(["..", ".", "/", "", "a/b", "a_b", "a_b-1", "__x", "\0", "x" * 999, "0"])
def test_every_class_has_a_folder_of_its_own_directly_in_another(tmp_path_factory, names):
    folders = class_folders(names, 3)
    assert len(set(folders)) == len(folders) == max(3, len(names))
    place = tmp_path_factory.getbasetemp() / "folders"
    for folder in folders:
        assert (place / folder).resolve().parent == place.resolve()
        assert not folder.startswith((".", "__"))
        (place / folder).mkdir(parents=True, exist_ok=True)


def test_names_that_folders_can_have_are_kept_and_others_resemble_them():
    names = ["cow", "T - shirt / top", "../../evil", "_x", "Ant", "ant"]
    assert class_folders(names, 7) == ("cow", "T - shirt _ top", "_.._evil", "_x", "Ant", "ant", "6")


def test_of_two_that_would_have_the_same_folder_the_later_has_its_label():
    assert class_folders(["a/b", "a_b", "2", "3"], 0) == ("a_b", "a_b-1", "2", "3")
    assert class_folders(["1"], 2) == ("1", "1-1")
