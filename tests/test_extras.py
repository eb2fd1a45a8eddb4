from importlib import import_module

import pytest

from huscf_flwr.extras import MissingExtraError, extra


def test_a_missing_extra_says_what_needs_it_and_how_to_come_by_it():
    with pytest.raises(MissingExtraError) as told, extra("images", "reading a.png"):
        import_module("a_package_that_nobody_has")
    assert str(told.value) == (
        "reading a.png needs the extra 'images' (No module named 'a_package_that_nobody_has'): "
        "pip install 'huscf-flwr[images]', or, in a checkout, pip install -e '.[images]'"
    )


def test_what_is_installed_and_what_else_goes_wrong_passes_through():
    with extra("images", "counting"):
        assert import_module("math").pi > 3
    with pytest.raises(ZeroDivisionError), extra("images", "counting"):
        print(1 / 0)
