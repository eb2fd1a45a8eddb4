import pytest

from huscf_flwr.comparison.origin import setting_differences
from tests.comparison.builders import plan_of


@pytest.fixture
def config(tmp_path):
    return plan_of(tmp_path).runs[0].config


def saved(config):
    return config.model_dump(mode="json")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "another"},
        {"resume_round": 3},
        {"tensorboard": True},
        {"attempts": 9},
    ],
)
def test_where_and_how_a_run_is_computed_makes_it_no_other(config, change):
    assert setting_differences(saved(config), config.model_copy(update=change)) == []


def test_what_decides_what_is_computed_does_and_is_named(config):
    changed = config.model_copy(
        update={"rounds": 3, "optimiser": config.optimiser.model_copy(update={"beta1": 0.9})}
    )
    assert setting_differences(saved(config), changed) == [
        "rounds was 2, and is 3",
        "optimiser.beta1 was 0.5, and is 0.9",
    ]


def test_a_setting_that_is_new_counts_as_its_default(config):
    before = saved(config)
    del before["huscf"]["beta"]
    assert setting_differences(before, config) == []
    other = config.with_settings(config.sections["huscf"].model_copy(update={"beta": 3.0}))
    assert setting_differences(before, other) == ["huscf.beta was 10.0, and is 3.0"]
