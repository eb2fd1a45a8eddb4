"""A leading ``~`` is the home folder, and part of the name where it can be none."""

from pathlib import Path

import pytest

from huscf_flwr.home import home_expanded


@pytest.mark.parametrize("kind", [str, Path])
def test_a_leading_tilde_is_the_home_folder(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home_expanded(kind("~")) == tmp_path
    assert home_expanded(kind("~/a/~b")) == tmp_path / "a" / "~b"
    assert home_expanded(kind("a/~")) == Path("a/~")


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("name", ["~lock.png", "~nosuch/x"])
def test_a_name_that_is_no_users_stays_as_it_is(kind, name):
    assert home_expanded(kind(name)) == Path(name)
