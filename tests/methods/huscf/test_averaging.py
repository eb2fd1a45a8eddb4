import pytest

from huscf_flwr.federation import (
    GaussianDivergence,
    KLDWeighting,
    KMeans,
    SampleWeighting,
    SilhouetteKMeans,
    SpatialSoftmax,
)
from huscf_flwr.methods.huscf.parts import check_clusters, method_of, model_spec_of, population_of, scenario_of
from tests.run.builders import DOMAINS, small_run


@pytest.fixture
def make(tmp_path):
    return lambda **settings: small_run(tmp_path, tmp_path, **settings)


def test_parity_is_told_the_number_of_domains_and_corrected_finds_it(make):
    assert method_of(make(mode="parity")).clusterer == KMeans(len(DOMAINS), random_state=42)
    assert method_of(make()).clusterer == SilhouetteKMeans()


@pytest.mark.parametrize(
    ("settings", "part", "expected"),
    [
        ({"method.clusters": 3}, "clusterer", KMeans(3)),
        ({"method.divergence": "spatial-softmax"}, "divergence", SpatialSoftmax("peers-from-client", "mean")),
        ({"mode": "parity", "method.divergence": "gaussian"}, "divergence", GaussianDivergence()),
        ({"method.weighting": "samples"}, "weighting", SampleWeighting()),
        ({"method.beta": 2.5}, "weighting", KLDWeighting(2.5)),
        ({"method.buffers": "average"}, "buffers", "average"),
        ({"method.plain_rounds": 4}, "plain_rounds", 4),
        ({"method.feature_scaling": "clients"}, "feature_scaling", "clients"),
        ({"mode": "parity", "method.clusters": 3}, "clusterer", KMeans(3, random_state=42)),
        ({"mode": "parity"}, "clusters_in_plain_rounds", False),
    ],
)
def test_one_setting_changes_one_part(make, settings, part, expected):
    assert getattr(method_of(make(**settings)), part) == expected


def test_objects_that_are_given_take_the_configured_ones_place(make):
    def clusterer(features, *, seed):
        raise NotImplementedError

    method = method_of(make(), clusterer=clusterer, divergence=SpatialSoftmax(), weighting=SampleWeighting())
    assert method.clusterer is clusterer
    assert method.divergence == SpatialSoftmax()
    assert method.weighting == SampleWeighting()


def test_more_clusters_than_clients_are_refused(make):
    check_clusters(make(**{"method.clusters": 4}), 4)
    check_clusters(make(), 1)
    with pytest.raises(ValueError, match=r"method\.clusters: 5 clusters for 4 clients; take fewer"):
        check_clusters(make(**{"method.clusters": 5}), 4)


def test_the_width_is_the_configured_one(make):
    assert model_spec_of(make(**{"model.width": 0.5})).generator_shapes[1] == (128, 7, 7)


def test_domains_of_the_configuration_replace_the_scenarios(make):
    assert [domain.name for domain in scenario_of(make()).domains] == list(DOMAINS)
    named = make(**{"data.domains": "kmnist,mnist"})
    assert [domain.name for domain in scenario_of(named).domains] == ["kmnist", "mnist"]


def test_the_population_is_that_of_the_scenario(images, tmp_path):
    config = small_run(images, tmp_path)
    population = population_of(config, model_spec_of(config))
    assert population.domain_of() == {0: "digits", 1: "digits", 2: "letters", 3: "letters"}
    assert [len(population.images_of(client)) for client in range(4)] == [30] * 4
    assert population.images_of(0).images.shape[1:] == (1, 28, 28)
