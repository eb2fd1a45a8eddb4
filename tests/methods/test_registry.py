import sys
import types
from typing import ClassVar

import pytest

from huscf_flwr import methods
from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import MethodSettings, RunConfig, Section
from huscf_flwr.methods import BUILT_IN, method_named, method_of, resolved
from huscf_flwr.methods.contract import Crossing, MessageClient, Method
from huscf_flwr.methods.fedgan import FedGAN, FedGANSettings
from huscf_flwr.methods.fedproto import FedProto
from huscf_flwr.methods.huscf import HuSCF, HuSCFSettings
from huscf_flwr.methods.local import Local, LocalClassifier, LocalGeneratorClient


def method(class_name="Mine", *, name="mine", section="mine", base=MethodSettings, **attributes):
    """A method that does nothing, but is whole."""
    settings = type(
        f"{class_name}Settings",
        (base,),
        {
            "__module__": __name__,
            "__annotations__": {"section": ClassVar[str], "flavour": str},
            "section": section,
            "flavour": "sweet",
        },
    )
    whole = dict.fromkeys(Method.__abstractmethods__, lambda *_: None)
    halves = {"client": FedGAN.client, "crossing": Crossing()}
    return type(class_name, (Method,), {**whole, **halves, "name": name, "Settings": settings, **attributes})


@pytest.fixture
def offer(monkeypatch):
    """Put a class into a module that can be imported, and return its name."""

    def put(found, name="Mine"):
        package, module = types.ModuleType("my_package"), types.ModuleType("my_package.mine")
        setattr(module, name, found)
        monkeypatch.setitem(sys.modules, "my_package", package)
        monkeypatch.setitem(sys.modules, "my_package.mine", module)
        return f"my_package.mine:{name}"

    return put


def refusal(name):
    with pytest.raises(ConfError, match="'method' is '") as caught:
        method_named(name)
    assert f"'method' is '{name}'" in str(caught.value)
    return str(caught.value)


def test_our_own_are_known_by_name():
    assert method_named("huscf") is HuSCF
    assert method_named("fedgan") is FedGAN
    assert method_named("fedproto") is FedProto


@pytest.mark.parametrize(("task", "variant"), [("generator", Local), ("classifier", LocalClassifier)])
def test_settings_may_choose_a_variant(task, variant):
    """Before they are complete, and after."""
    config = RunConfig.model_validate({"method": "local", "local": {"task": task}})
    assert method_named("local") is Local
    assert method_of(config) is method_of(resolved(config)) is variant
    assert (variant.name, variant.Settings) == (Local.name, Local.Settings)


@pytest.mark.parametrize("name", sorted(BUILT_IN.keys() - {"local", "gefl"}))
def test_without_variants_a_run_trains_with_the_class_of_that_name(name):
    assert method_of(RunConfig(method=name)) is method_named(name)


@pytest.mark.parametrize("name", BUILT_IN)
def test_our_own_have_the_name_that_they_are_known_by(name):
    assert method_named(name).name == name


def test_one_of_ones_own_is_found_by_where_it_is(offer):
    mine = method()
    assert method_named(offer(mine)) is mine


@pytest.mark.parametrize(
    "name", ["hucsf", "fedgann", "mine", "my_package.mine", "", ":Mine", "my_package.mine:"]
)
def test_an_unknown_name_is_refused_with_those_that_are_known(name):
    known = ", ".join(sorted(BUILT_IN))
    assert f"write {known}, or a class of your own as my_package.mine:Mine" in refusal(name)


def test_the_nearest_name_is_told():
    assert "(did you mean 'huscf'?)" in refusal("hucsf")


def test_a_module_that_is_not_there():
    assert "the module no_such_package.mine cannot be imported" in refusal("no_such_package.mine:Mine")


def test_a_module_without_such_a_class(offer):
    offer(method())
    assert "my_package.mine has no 'Min' (did you mean 'Mine'?)" in refusal("my_package.mine:Min")


@pytest.mark.parametrize("found", [object, 3, Section])
def test_what_is_no_method(offer, found):
    assert "Mine is not a method; derive it from huscf_flwr.methods.contract.Method" in refusal(offer(found))


def test_a_method_that_lacks_something(offer):
    class Half(Method):
        name = "half"

    assert "Half does not define client, close_round, crossing, form, " in refusal(offer(Half))


def test_a_client_that_lacks_something(offer):
    half = type("HalfClient", (MessageClient,), {"begin": lambda *_: None})
    message = refusal(offer(method(client=half)))
    assert "its clients are HalfClient, which does not define train, upload" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import numppy", "(No module named 'numppy'); mend it"),
        ("def broken(:", "(invalid syntax (broken_method.py, line 1)); mend it"),
    ],
)
def test_a_module_with_a_mistake_in_it(tmp_path, monkeypatch, content, said):
    (tmp_path / "broken_method.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    assert f"the module broken_method cannot be imported {said}" in refusal("broken_method:Mine")


def test_models_of_clients_of_which_no_score_may_cross(offer):
    name = offer(method(client=LocalGeneratorClient))
    with pytest.raises(ConfError, match=r"has models of its own to score, .* list those that may cross"):
        method_of(RunConfig(method=name))


def test_a_name_that_is_not_its_sections(offer):
    message = refusal(offer(method(name="mine", section="yours")))
    assert "Mine.name is 'mine', but the section of its settings is 'yours' (MineSettings.section)" in message


@pytest.mark.parametrize("section", ["cuts", "rounds", "My", "my-own", "my.own", "1st"])
def test_a_section_that_cannot_be(offer, section):
    assert f"its section cannot be called '{section}'" in refusal(
        offer(method(name=section, section=section))
    )


def test_settings_that_are_none(offer):
    name = offer(method(Settings=Section))
    with pytest.raises(
        ConfError, match=r"Mine\.Settings is .*derive it from huscf_flwr\.config\.MethodSettings"
    ):
        method_named(name)


def test_resolved_has_the_settings_of_its_method_and_no_others():
    said = {"huscf": {"beta": 3}, "fedgan": {"buffers": "total-variance"}}
    huscf = resolved(RunConfig.model_validate(said))
    assert huscf.sections == {"huscf": HuSCFSettings(beta=3)}
    fedgan = resolved(RunConfig.model_validate({"method": "fedgan", **said}))
    assert fedgan.sections == {"fedgan": FedGANSettings(buffers="total-variance")}


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("mode", ["corrected", "parity"])
def test_resolving_again_changes_nothing(name, mode):
    once = resolved(RunConfig(method=name, mode=mode))
    assert once.sections.keys() == {name}
    assert resolved(once) == once


def test_resolved_takes_the_section_of_ones_own(offer):
    config = RunConfig.model_validate({"method": offer(method()), "mine": {"flavour": "sour"}, "huscf": {}})
    assert resolved(config).sections == {"mine": method_named(config.method).Settings(flavour="sour")}


def test_a_method_derived_from_ours_may_keep_its_section(offer):
    mine = method(name="huscf", section="huscf", base=HuSCFSettings)
    config = RunConfig.model_validate({"method": offer(mine), "huscf": {"flavour": "sour", "beta": 3}})
    assert resolved(config).settings(HuSCFSettings) == mine.Settings(flavour="sour", beta=3)


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_cannot_be_is_refused_in_whatever_section(name):
    config = RunConfig.model_validate({"method": name, "huscf": {"beta": -1}})
    with pytest.raises(ConfError, match=r"'huscf\.beta' is -1"):
        resolved(config)


@pytest.mark.parametrize(
    ("section", "nearest"), [("hucsf", "huscf"), ("optimizer", "optimiser"), ("evalution", "evaluation")]
)
def test_a_section_of_nobody_is_refused(section, nearest):
    config = RunConfig.model_validate({section: {"a": 1}})
    with pytest.raises(ConfError, match=rf"unknown section '{section}' \(did you mean '{nearest}'\?\)"):
        resolved(config)


def test_a_section_of_another_than_the_chosen_is_refused():
    """Only our own are known without being named."""
    config = RunConfig.model_validate({"mine": {"flavour": "sour"}})
    known = f"known are {', '.join(sorted(BUILT_IN))}"
    with pytest.raises(ConfError, match=rf"unknown section 'mine'.*{known}"):
        resolved(config)


def test_our_own_are_imported_when_they_are_needed(monkeypatch):
    monkeypatch.setitem(methods.BUILT_IN, "fedgan", "no_such_package:FedGAN")
    assert resolved(RunConfig()).sections.keys() == {"huscf"}
    with pytest.raises(ConfError, match="no_such_package cannot be imported"):
        resolved(RunConfig(method="fedgan"))


def test_a_setting_of_privacy_that_a_method_does_not_honour_is_refused(offer, monkeypatch):
    deaf, honest = method(), method(privacy=frozenset({"local_discriminator"}))
    monkeypatch.setattr(methods, "BUILT_IN", {"first": offer(honest)})
    asked = {"privacy": {"local_discriminator": True}}
    assert method_of(RunConfig(method="first", **asked)) is honest
    named = offer(deaf)
    assert method_of(RunConfig(method=named)) is deaf
    monkeypatch.setattr(methods, "method_named", {"first": honest, named: deaf}.get)
    with pytest.raises(ConfError) as caught:
        method_of(RunConfig(method=named, **asked))
    for said in ("privacy.local_discriminator is True", named, "take a method that does: first"):
        assert said in str(caught.value)


def test_losses_are_kept_back_for_every_method_whose_clients_have_some(offer):
    for name in BUILT_IN:
        method_of(RunConfig.model_validate({"method": name, "privacy": {"send_losses": False}}))
    silent = type("Silent", (LocalGeneratorClient,), {"losses": ()})
    mine = offer(method(client=silent, crossing=Crossing(scores=("fidelity",))))
    with pytest.raises(ConfError, match=r"privacy.send_losses is False, but method .* does not honour it"):
        method_of(RunConfig.model_validate({"method": mine, "privacy": {"send_losses": False}}))
