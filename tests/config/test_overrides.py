"""What ``--set`` says beside what it is given to: it adds to a section, and says a key once."""

import pytest
from flwr.common.config import parse_config_args

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import from_run_config, load_config, to_run_config


@pytest.mark.parametrize(
    "said",
    [
        ["optimiser={beta1: 0.25}"],
        ["optimiser.beta1=0.25"],
        ["optimiser={}", "optimiser.beta1=0.25"],
        ["optimiser={beta1: 0.25}", "optimiser={beta2: 0.999}"],
    ],
)
def test_a_mapping_adds_to_a_section_as_its_keys_do(said, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("optimiser: {learning_rate: 0.0005}\nmine: {kept: 1, deep: {er: 1, est: 2}}\n")
    config = load_config(str(path), [*said, "mine={deep: {er: 3}}"])
    assert (config.optimiser.learning_rate, config.optimiser.beta1) == (0.0005, 0.25)
    assert config.sections == {"mine": {"kept": 1, "deep": {"er": 3, "est": 2}}}


def test_flower_says_a_mapping_as_keys_that_add_to_the_section():
    """``flwr run --run-config "optimiser={beta1=0.25}"``."""
    said = parse_config_args(["optimiser={beta1=0.25}"])
    config = from_run_config(
        {**to_run_config(load_config("demo", ["optimiser.learning_rate=0.0005"])), **said}
    )
    assert (config.optimiser.learning_rate, config.optimiser.beta1) == (0.0005, 0.25)


@pytest.mark.parametrize(
    ("said", "key"), [("wire={preset: exact, preset: half}", "preset"), ("mine={a: {b: 1, b: 2}}", "b")]
)
def test_the_same_key_twice_in_one_mapping_is_refused_without_a_number_of_a_line(said, key):
    with pytest.raises(ConfError) as caught:
        load_config("demo", [said])
    assert str(caught.value) == f"--set {said}: it says '{key}' twice: leave one of them out"


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ("rounds=1", "rounds=2", "rounds"),
        ("local-epochs=1", "local_epochs=1", "local_epochs"),
        ("optimiser={beta1: 0.5}", "optimiser.beta1=0.6", "optimiser.beta1"),
        ("mine={deep: {er: 1}}", "mine.deep={er: 2}", "mine.deep.er"),
    ],
)
def test_the_same_key_twice_in_a_command_is_refused_naming_both(first, second, key):
    for one, other in ((first, second), (second, first)):
        with pytest.raises(ConfError) as caught:
            load_config("demo", [one, "clients=8", other])
        assert str(caught.value) == f"--set {one} and --set {other} both say '{key}': leave one of them out"
