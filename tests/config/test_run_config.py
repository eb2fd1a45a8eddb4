import copy
import pickle
from functools import lru_cache
from typing import ClassVar, Literal

import pytest
from pydantic import PositiveInt, ValidationError

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import MethodSettings, RunConfig, Section, dump_config, to_run_config
from huscf_flwr.methods.fedgan.settings import FedGANSettings
from huscf_flwr.methods.huscf.settings import HuSCFSettings


class Inner(Section):
    depth: PositiveInt = 1


class MineSettings(MethodSettings):
    section: ClassVar[str] = "mine"
    flavour: Literal["sweet", "sour"] = "sweet"
    inner: Inner = Inner()


def config_of(**sections):
    return RunConfig.model_validate(sections)


def test_settings_are_the_defaults_where_nothing_was_said():
    assert RunConfig().settings(HuSCFSettings) == HuSCFSettings()
    assert config_of(mine={"flavour": "sour"}).settings(MineSettings) == MineSettings(flavour="sour")
    assert config_of(mine={"inner": {"depth": 3}}).settings(MineSettings).inner.depth == 3


@pytest.mark.parametrize(
    ("kind", "said", "message"),
    [
        (MineSettings, {"flavor": "sour"}, r"unknown key 'mine\.flavor' \(did you mean 'mine\.flavour'\?\)"),
        (MineSettings, {"flavour": "salt"}, r"'mine\.flavour' is 'salt': .*'sweet' or 'sour'"),
        (MineSettings, {"inner": {"dept": 3}}, r"unknown key 'mine\.inner\.dept' .*'mine\.inner\.depth'"),
        (
            HuSCFSettings,
            {"weighting": "kl"},
            r"'huscf\.weighting' is 'kl' \(did .* 'kld'\?\): .*'kld' or 'samples'",
        ),
        (HuSCFSettings, {"weightng": "kld"}, r"unknown key 'huscf\.weightng' .*'huscf\.weighting'"),
        (HuSCFSettings, {"beta": -1}, r"'huscf\.beta' is -1: .*greater than or equal to 0"),
        (
            HuSCFSettings,
            {"clusters": 0},
            r"'huscf\.clusters' is 0: expected a whole number from 1, 'found' or",
        ),
        (HuSCFSettings, {"clusters": "all"}, r"'huscf\.clusters' is 'all': expected .* 'found' or 'domains'"),
        (HuSCFSettings, {"clusters": None}, r"'huscf\.clusters' is None: expected"),
        (HuSCFSettings, {"random_state": -1}, r"'huscf\.random_state' is -1: expected .*0, or 'seeded'"),
        (HuSCFSettings, {"bodies": None}, r"'huscf\.bodies' is None: .*'parted' or 'shared'"),
        (
            FedGANSettings,
            {"buffers": "mean"},
            r"'fedgan\.buffers' is 'mean': .*'total-variance' or 'average'",
        ),
    ],
)
def test_what_cannot_be_is_named_with_its_section(kind, said, message):
    config = config_of(**{kind.section: said})
    with pytest.raises(ConfError, match=f"settings of {kind.section}: {message}"):
        config.settings(kind)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfError, match=r"'huscf\.beta' is -1.*; 'huscf\.bodies' is 'lost'"):
        config_of(huscf={"beta": -1, "bodies": "lost"}).settings(HuSCFSettings)


def test_one_section_may_take_the_place_of_all():
    config = config_of(huscf={"beta": 3}, mine={"flavour": "sour"}, rounds=3)
    settings = MineSettings(flavour="sweet")
    alone = config.with_settings(settings)
    assert alone.sections == {"mine": settings}
    assert alone.settings(MineSettings) is settings
    assert alone.settings(HuSCFSettings) == HuSCFSettings()
    assert alone.with_settings(HuSCFSettings(beta=3)).sections == {"huscf": HuSCFSettings(beta=3)}
    common = {key: value for key, value in config if key not in config.sections} | {"resolved": True}
    assert {key: value for key, value in alone if key not in alone.sections} == common
    assert config.sections.keys() == {"huscf", "mine"}


def test_settings_of_a_derived_class_are_those_of_the_class_that_it_is_derived_from():
    class Derived(MineSettings):
        section: ClassVar[str] = "derived"
        more: int = 0

    config = RunConfig().with_settings(Derived(flavour="sour"))
    assert config.settings(MineSettings).flavour == "sour"


def test_settings_as_an_object_are_taken_and_written_like_any():
    by_object = config_of(mine=MineSettings(flavour="sour"))
    assert by_object.settings(MineSettings).flavour == "sour"
    assert to_run_config(by_object)["mine.inner.depth"] == 1
    assert "inner:\n    depth: 1" in dump_config(by_object)


@pytest.mark.parametrize("config", [config_of(mine={"inner": {"depth": 3}}), RunConfig()])
def test_it_is_a_key_and_does_not_change(config):
    calls = []

    @lru_cache
    def once(config):
        calls.append(config)
        return len(calls)

    resolved = config.with_settings(config.settings(MineSettings))
    for same in (resolved, copy.deepcopy(resolved), pickle.loads(pickle.dumps(resolved))):
        assert (same, hash(same), once(same)) == (resolved, hash(resolved), 1)
    other = config.with_settings(MineSettings(inner=Inner(depth=7)))
    assert other != resolved
    assert once(other) == 2
    assert hash(config) == hash(copy.deepcopy(config))
    for name in ("rounds", "mine"):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(resolved, name, 3)


def test_what_was_said_can_be_changed_by_whoever_said_it_without_effect():
    said = {"inner": {"depth": 3}}
    config = config_of(mine=said)
    said["inner"]["depth"] = 4
    said["flavour"] = "sour"
    assert config.sections == {"mine": {"inner": {"depth": 3}}}
