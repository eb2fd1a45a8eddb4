import pytest

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import load_config
from huscf_flwr.methods import resolved
from huscf_flwr.methods.mdgan import MDGANSettings


def settings(*said):
    return resolved(load_config("mdgan", said)).settings(MDGANSettings)


@pytest.mark.parametrize(("said", "found"), [("log", "log"), ("1", 1), ("7", 7)])
def test_batches_are_a_number_or_log(said, found):
    assert settings(f"mdgan.batches={said}").batches == found


@pytest.mark.parametrize("said", ["two", "0", "-1", "1.5", "true"])
def test_other_batches_are_refused_in_one_sentence(said):
    with pytest.raises(ConfError, match=r"'mdgan\.batches' is .*a number") as refused:
        settings(f"mdgan.batches={said}")
    assert str(refused.value).count("mdgan.batches") == 1
