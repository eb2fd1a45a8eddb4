import pytest
from flwr.common.config import get_fused_config_from_dir

from huscf_flwr.config import MethodSettings, from_run_config, load_config
from huscf_flwr.flower.app import app_folder
from huscf_flwr.flower.run_settings import listed_settings, overriding
from huscf_flwr.methods import BUILT_IN, resolved
from tests.methods.two_exchanges import TwoExchanges

OWN = f"{TwoExchanges.__module__}:TwoExchanges"


class Demanding(TwoExchanges):
    """Has a setting without a default."""

    name = "demanding"

    class Settings(MethodSettings):
        section = "demanding"

        depth: int
        width: int = 3


DEMANDING = f"{__name__}:Demanding"


@pytest.fixture(scope="module")
def listed():
    return listed_settings(app_folder())


@pytest.mark.parametrize("settings", [[], ["seed=7"], ["two_exchanges.steps=3"], ["mode=parity"]])
@pytest.mark.parametrize("method", [*BUILT_IN, OWN])
def test_what_flower_carries_is_the_run(listed, method, settings):
    if method != OWN and "two_exchanges.steps=3" in settings:
        settings = ["rounds=2"]
    config = load_config("demo", [f"method={method}", *settings])
    carried, lost = overriding(config, listed)
    assert lost == []
    arrived = get_fused_config_from_dir(app_folder(), carried)
    assert resolved(from_run_config(arrived)) == resolved(config)


def test_a_setting_of_ones_own_must_be_listed_to_be_carried(listed):
    config = load_config("demo", [f"method={OWN}", "two_exchanges.steps=5"])
    assert overriding(config, listed)[1] == ["two-exchanges.steps"]
    carried, lost = overriding(config, {**listed, "two-exchanges.steps": ""})
    assert lost == []
    assert carried["two-exchanges.steps"] == 5


def test_a_setting_that_a_mode_changes_must_be_listed_too(listed, tmp_path):
    """The processes are told what the mode means, and do not read its file."""
    mode = tmp_path / "mine.yaml"
    mode.write_text("two_exchanges: {steps: 5}\n")
    method = [f"method={OWN}", f"mode={mode}"]
    assert overriding(load_config("demo", method), listed)[1] == ["two-exchanges.steps"]
    assert overriding(load_config("demo", [*method, "two_exchanges.steps=3"]), listed)[1] == []


def test_a_setting_without_a_default_must_be_listed(listed):
    config = load_config("demo", [f"method={DEMANDING}", "demanding.depth=4"])
    assert "demanding.depth" in overriding(config, listed)[1]
    assert overriding(config, {**listed, "demanding.depth": ""})[1] == []


def test_tables_within_tables_have_dotted_keys(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        "[tool.flwr.app.config]\nseed = 3\nmodel.width = 0.5\n[tool.flwr.app.config.a.b]\nc = true\n"
    )
    assert listed_settings(tmp_path) == {"seed": 3, "model.width": 0.5, "a.b.c": True}
