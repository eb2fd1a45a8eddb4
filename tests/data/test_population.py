import pytest

from huscf_flwr.data import population_of, scenario_of
from huscf_flwr.models import model_spec_of
from tests.run.builders import DOMAINS, small_run, write_domains


@pytest.fixture
def make(tmp_path):
    return lambda **settings: small_run(tmp_path, tmp_path, **settings)


def test_domains_of_the_configuration_replace_the_scenarios(make):
    assert [domain.name for domain in scenario_of(make()).domains] == list(DOMAINS)
    named = make(**{"data.domains": "kmnist,mnist"})
    assert [domain.name for domain in scenario_of(named).domains] == ["kmnist", "mnist"]


def test_the_population_is_that_of_the_scenario(make, tmp_path):
    write_domains(tmp_path)
    config = make()
    population = population_of(config, model_spec_of(config))
    assert population.domain_of() == {0: "digits", 1: "digits", 2: "letters", 3: "letters"}
    assert [len(population.images_of(client)) for client in range(4)] == [30] * 4
    assert population.images_of(0).images.shape[1:] == (1, 28, 28)
