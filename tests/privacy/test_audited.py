"""What an audit leaves in a run's folder, and what becomes of what was there."""

from huscf_flwr.privacy.audited import set_aside


def leave(folder, text, *pictures):
    (folder / "privacy.json").write_text(text)
    for name in pictures:
        (folder / name).write_text(text)


def test_nothing_is_set_aside_where_nothing_is(tmp_path):
    assert set_aside(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_each_audit_before_the_last_has_a_folder_of_its_own(tmp_path):
    """Also where somebody has thrown the first one away."""
    leave(tmp_path, "first", "cut-1-1-1-1.png")
    assert set_aside(tmp_path) == tmp_path / "earlier-1"
    leave(tmp_path, "second")
    assert set_aside(tmp_path) == tmp_path / "earlier-2"
    kept = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.*")}
    assert kept == {
        "earlier-1/privacy.json": "first",
        "earlier-1/cut-1-1-1-1.png": "first",
        "earlier-2/privacy.json": "second",
    }
    for path in (tmp_path / "earlier-1").iterdir():
        path.unlink()
    (tmp_path / "earlier-1").rmdir()
    leave(tmp_path, "third")
    assert set_aside(tmp_path) == tmp_path / "earlier-3"
