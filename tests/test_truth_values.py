"""A truth value is no number, wherever people write one: ``true`` would be 1 without a word."""

import importlib
import pkgutil

import pytest
from pydantic import BaseModel, ValidationError

import huscf_flwr
from huscf_flwr import methods
from huscf_flwr.conf_files import ConfError, Strict, is_number
from huscf_flwr.config import load_config
from huscf_flwr.cuts import load_devices
from huscf_flwr.data import load_scenario

PLACES = ("config", "comparison.plan", "cuts.devices", "data.scenarios", "data.partition", "models")
SERVER = "server: {gflops: 1, mbit_per_s: 1}"
DEVICES = "devices: [{name: a, gflops: 1, mbit_per_s: 1}]"
NOT_WRITTEN_BY_PEOPLE = {"Facts", "_Spent", "_File", "ServerState", "TrainingSettings"}


def below(model):
    return {each for child in model.__subclasses__() for each in (child, *below(child))}


def models():
    """Every pydantic model of ours; what methods have, too."""
    for place in PLACES:
        importlib.import_module(f"huscf_flwr.{place}")
    for module in pkgutil.walk_packages(methods.__path__, f"{methods.__name__}."):
        importlib.import_module(module.name)
    return sorted(
        (each for each in below(BaseModel) if each.__module__.startswith(huscf_flwr.__name__)),
        key=lambda each: (each.__module__, each.__name__),
    )


def test_all_that_people_write_is_strict():
    for each in models():
        bases = {base.__name__ for base in each.__mro__}
        assert issubclass(each, Strict) or bases & NOT_WRITTEN_BY_PEOPLE, each


NUMBERS = [
    pytest.param(model, name, id=f"{model.__name__}.{name}")
    for model in models()
    if issubclass(model, Strict)
    for name, field in model.model_fields.items()
    if is_number(field.annotation)
]


@pytest.mark.parametrize(("model", "name"), NUMBERS)
@pytest.mark.parametrize("value", [True, [False, 1]])
def test_no_setting_takes_a_truth_for_a_number(model, name, value):
    with pytest.raises(ValidationError) as caught:
        model.model_validate({name: value})
    assert [(name,), "truth_for_number"] in [[each["loc"], each["type"]] for each in caught.value.errors()]


@pytest.mark.parametrize(
    ("read", "written"),
    [
        (load_scenario, "domains: [digits]\ncap_total: true"),
        (load_scenario, "domains: [{name: own, classes: true}]"),
        (load_scenario, "domains: [{name: own, first_label: true}]"),
        (load_scenario, "domains: [digits]\nlabels: {kind: dirichlet, alpha: true}"),
        (load_scenario, "domains: [digits]\nsizes: {fractions: [true]}"),
        (
            load_devices,
            f"server: {{gflops: true, mbit_per_s: 1}}\n{DEVICES}",
        ),
        (
            load_devices,
            f"{SERVER}\ndevices: [{{name: a, gflops: true, mbit_per_s: 1}}]",
        ),
        (load_config, "cuts: {fixed: [true, 1, 1, 1]}"),
        (load_config, "model: {channels: true}"),
    ],
)
def test_a_file_with_a_truth_for_a_number_is_refused_by_its_key(read, written, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(written)
    with pytest.raises(ConfError, match=r"mine\.yaml: .*a number is wanted here, and not true or false"):
        read(str(path))


def test_what_may_be_a_truth_still_is():
    config = load_config("demo", ["cuts.dynamic=true", "executor.insecure=true"])
    assert config.cuts.dynamic
    assert config.executor.insecure
