"""What a run computes from is known by its content."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from huscf_flwr.conf_files import find_conf
from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, population_of
from huscf_flwr.data.progress import progress_told
from huscf_flwr.methods import resolved
from huscf_flwr.models import model_spec_of
from huscf_flwr.run import origin as module
from huscf_flwr.run.origin import Origin, images_hash, origin_of
from tests.comparison.builders import plan_of


@pytest.fixture
def config(tmp_path):
    return plan_of(tmp_path).runs[0].config


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    config = plan_of(tmp_path_factory.mktemp("images")).runs[2].config
    return population_of(config, model_spec_of(config))


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


def test_newer_settings_of_a_scenario_change_nothing_unless_they_are_said(tmp_path):
    # By this, checkpoints and kept runs of before know the demo's scenario.
    before = "6582aeeb67b78a2e9de5f3b6eebdfe727229193fc123d1b421e16bebd75cf851"
    assert origin_of(RunConfig(name="x")).scenario == before


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


def test_a_file_may_be_moved_and_renamed_but_not_changed(config, tmp_path):
    """Of networks, device profiles, scenarios with a place of their images, classifiers and decoders."""
    config = resolved(config.model_copy(update={"method": "fedproto"}))
    files = {
        ("model", "spec"): ("models", "authors-28", {"latent": 7}),
        ("cuts", "devices"): ("devices", "paper", {"devices": [{"name": "d", "gflops": 1, "mbit_per_s": 1}]}),
        ("data", "scenario"): ("scenarios", "demo", {"cap_total": 5}),
        ("classifier", "family"): ("classifiers", "family5", {"features": 7}),
        ("classifier", "decoder"): ("decoders", "vtc", {"channels": [8]}),
    }
    for (section, key), (kind, name, change) in files.items():
        content = yaml.safe_load(find_conf(kind, name).read_text())
        found = []
        for place, changed in {"a": {}, "elsewhere/b": {}, "c": change}.items():
            path = tmp_path / kind / f"{place}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(content | changed))
            part = getattr(config, section).model_copy(update={key: str(path)})
            found.append(origin_of(config.model_copy(update={section: part})))
        assert found[0].differences(found[1]) == []
        assert len(found[0].differences(found[2])) == 1, kind


def test_where_images_lie_is_not_what_they_are(config, tmp_path):
    found = []
    for place in ("here", "there"):
        path = tmp_path / f"{place}.yaml"
        path.write_text(yaml.safe_dump({"domains": [{"name": "own", "folder": str(tmp_path / place)}]}))
        data = config.data.model_copy(update={"scenario": str(path), "domains": None})
        found.append(origin_of(config.model_copy(update={"data": data})))
    assert found[0] == found[1]


def test_holders_are_part_of_a_scenario_only_where_it_says_so(config, tmp_path):
    """What was kept before there were holders is known again."""
    found = []
    for said in ("", "by_holder: false", "by_holder: true"):
        path = tmp_path / "scenario.yaml"
        path.write_text(f"domains: [{{name: own, {said}}}]")
        data = config.data.model_copy(update={"scenario": str(path), "domains": None})
        found.append(origin_of(config.model_copy(update={"data": data})).scenario)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(("method", "has_some"), [("huscf", False), ("local", False), ("fedproto", True)])
def test_a_family_of_classifiers_counts_only_where_clients_have_classifiers(config, method, has_some):
    """A change of the families makes no GAN's run another one."""
    found = origin_of(resolved(config.model_copy(update={"method": method})))
    assert (found.classifiers is not None) == has_some
    assert found.differences(replace(found, classifiers="another")) == ["other classifiers"] * has_some


def test_the_hash_is_that_of_the_whole_however_many_images_are_taken_at_once(population, monkeypatch):
    whole, told = images_hash(population), []
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    with progress_told(lambda *each: told.append(each)):
        assert images_hash(population) == whole
    assert ("taking the hash of images", 14, len(next(iter(population.domains.values())).train)) in told
