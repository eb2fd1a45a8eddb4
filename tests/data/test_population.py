import numpy as np
import pytest
import torch

from huscf_flwr.data import (
    Domain,
    LabelledImages,
    Partition,
    PooledImages,
    Population,
    population_of,
    scenario_of,
    split_held_out,
)
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


@pytest.fixture
def population(make, tmp_path):
    """Four clients; some images are held out if a test asks for it."""
    write_domains(tmp_path)

    def load(**settings):
        config = make(**settings)
        return population_of(config, model_spec_of(config))

    return load


def same(left, right):
    return torch.equal(left.images, right.images) and torch.equal(left.labels, right.labels)


def test_a_client_has_its_images_and_the_test_set_of_its_domain(population):
    everybody = population()
    for client, name in everybody.domain_of().items():
        data = everybody.data_of(client)
        assert same(data.train, everybody.images_of(client))
        assert len(data.held_out) == 0
        assert data.held_out.images.shape == (0, 1, 28, 28)
        assert data.test is everybody.domains[name].test
        assert data.domain is everybody.domains[name]


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.999])
def test_clients_hold_out_what_split_held_out_says_of_all_that_they_hold(population, fraction):
    whole, split = population(seed=5), population(seed=5, **{"data.held_out": fraction})
    for client in range(4):
        held = whole.images_of(client)
        train, held_out = split_held_out(held, fraction, seed=5, client=client)
        assert same(split.images_of(client), train)
        assert same(split.data_of(client).train, train)
        assert same(split.data_of(client).held_out, held_out)
        assert same(split.held_by(client), held)


def test_what_no_client_holds_is_said(population):
    assert [note for note in population().notes if "no client holds" in note] == []
    notes = population(**{"data.scenario": "demo"}).notes
    assert [note.partition(";")[0] for note in notes if "no client holds" in note] == [
        f"training images that no client holds: {missing(population)}"
    ]


def missing(population):
    everybody = population(**{"data.scenario": "demo"})
    held = dict.fromkeys(DOMAINS, 0)
    for client, name in everybody.domain_of().items():
        held[name] += len(everybody.held_by(client))
    return ", ".join(f"{60 - count} of 60 of {name}" for name, count in held.items() if count < 60)


def rows(images):
    """The images as texts that can be compared."""
    return {bytes(image.flatten().tolist()) for image in images.images}


@pytest.mark.parametrize("pooled", [False, True])
def test_nobody_trains_on_images_for_validation_and_nobody_sees_test_images(population, pooled):
    whole, chosen = population(), population(**{"data.judged_on": "validation"})
    chosen = chosen.pooled() if pooled else chosen
    for client, name in chosen.domain_of().items():
        data, before = chosen.data_of(client), whole.domains[name]
        assert data.test is chosen.domains[name].test
        assert len(data.test) == len(before.train) // 5
        assert rows(data.test) <= rows(before.train)
        assert not rows(data.test) & rows(before.test)
        assert not rows(data.test) & (rows(data.train) | rows(data.domain.train))


def test_images_for_validation_do_not_depend_on_the_seed(population):
    """So all seeds are judged by the same judge."""
    first, second = (population(seed=seed, **{"data.judged_on": "validation"}) for seed in (1, 2))
    for name in DOMAINS:
        assert same(first.domains[name].test, second.domains[name].test)
        assert same(first.domains[name].train, second.domains[name].train)


def test_pooled_clients_are_the_domains_with_all_that_their_clients_train_on(population):
    everybody = population(clients=5, **{"data.held_out": 0.2})
    pooled = everybody.pooled()
    assert pooled.domain_of() == {0: "digits", 1: "letters"}
    for client, members in enumerate([(0, 1, 2), (3, 4)]):
        images, data = pooled.images_of(client), pooled.data_of(client)
        each = [everybody.data_of(member) for member in members]
        assert isinstance(images, PooledImages)
        assert images.shares == tuple(len(one.train) for one in each)
        assert torch.equal(images.images, torch.cat([one.train.images for one in each]))
        assert torch.equal(images.labels, torch.cat([one.train.labels for one in each]))
        assert isinstance(data.train, PooledImages)
        assert same(data.train, images)
        assert torch.equal(data.held_out.images, torch.cat([one.held_out.images for one in each]))
        assert data.test is each[0].test


def test_pooled_domains_keep_the_scenarios_order():
    """Not the order of names, nor that of ids."""
    images = LabelledImages(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4))
    domains = {name: Domain(name, 4, images, images) for name in ("z", "a")}
    parts = [
        Partition(client, name, np.array(indices))
        for client, (name, indices) in enumerate([("a", [3]), ("z", [1, 2]), ("a", [0, 2])])
    ]
    pooled = Population(domains, tuple(parts)).pooled()
    assert pooled.domain_of() == {0: "z", 1: "a"}
    assert pooled.images_of(1).labels.tolist() == [3, 0, 2]
    assert pooled.images_of(1).shares == (1, 2)
