from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from huscf_flwr.comparison.origin import Origin, images_hash, origin_of, setting_differences
from huscf_flwr.data import LabelledImages, population_of
from huscf_flwr.models import model_spec_of
from tests.comparison.builders import plan_of


@pytest.fixture
def config(tmp_path):
    return plan_of(tmp_path).runs[0].config


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    config = plan_of(tmp_path_factory.mktemp("images")).runs[2].config
    return population_of(config, model_spec_of(config))


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


def test_a_scenario_is_its_content_and_not_its_name(config, tmp_path):
    content = {"domains": ["digits", "letters"], "labels": {"kind": "all"}, "description": "one"}
    origins = []
    for name, change in {"a": {}, "b": {"description": "two"}, "c": {"cap_total": 100}}.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content | change))
        data = config.data.model_copy(update={"scenario": str(path)})
        origins.append(origin_of(config.model_copy(update={"data": data})))
    assert origins[0].differences(origins[1]) == []
    assert origins[0].differences(origins[2]) == ["another scenario"]


def test_where_the_images_of_a_domain_lie_is_no_matter(config, tmp_path):
    origins = []
    for name in ("here", "there"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"domains": [{"name": "strokes", "folder": f"/{name}"}]}))
        data = config.data.model_copy(update={"scenario": str(path)})
        origins.append(origin_of(config.model_copy(update={"data": data})))
    assert origins[0] == origins[1]


def test_images_that_nobody_has_looked_at_do_not_differ():
    one = Origin("s", "m", "d", 1, "i")
    assert one.differences(replace(one, images=None)) == []
    assert one.differences(replace(one, images="j")) == ["other images"]
    assert one.differences(replace(one, method_version=2)) == ["another version of the method"]


def test_one_pixel_one_label_or_one_owner_makes_other_images(population):
    (name, domain), *_ = population.domains.items()
    brighter, relabelled = domain.train.images.clone(), domain.train.labels.clone()
    brighter[-1, 0, 3, 3] += 1
    relabelled[5] = (relabelled[5] + 1) % 10
    changed = [
        replace(domain, train=LabelledImages(brighter, domain.train.labels)),
        replace(domain, train=LabelledImages(domain.train.images, relabelled)),
    ]
    hashes = {images_hash(replace(population, domains={name: each})) for each in changed}
    first, second, *rest = population.partitions
    moved = (
        replace(first, indices=first.indices[1:]),
        replace(second, indices=np.append(second.indices, first.indices[0])),
    )
    hashes.add(images_hash(replace(population, partitions=(*moved, *rest))))
    hashes.add(images_hash(population))
    assert len(hashes) == 4


def test_the_hash_does_not_depend_on_how_tensors_lie_in_memory(population):
    (name, domain), *_ = population.domains.items()
    strided = domain.train.images.to(memory_format=torch.channels_last)
    again = replace(domain, train=LabelledImages(strided, domain.train.labels))
    assert images_hash(replace(population, domains={name: again})) == images_hash(population)
