import pytest

from huscf_flwr.federation import (
    GaussianDivergence,
    KLDWeighting,
    KMeans,
    SampleWeighting,
    SilhouetteKMeans,
    SpatialSoftmax,
)
from huscf_flwr.methods.huscf.averaging import averaging_of, check_clusters
from tests.run.builders import DOMAINS, small_run


@pytest.fixture
def make(tmp_path):
    return lambda **settings: small_run(tmp_path, tmp_path, **settings)


def test_parity_is_told_the_number_of_domains_and_corrected_finds_it(make):
    assert averaging_of(make(mode="parity")).clusterer == KMeans(len(DOMAINS), random_state=42)
    assert averaging_of(make()).clusterer == SilhouetteKMeans()


@pytest.mark.parametrize(
    ("settings", "part", "expected"),
    [
        ({"huscf.clusters": 3}, "clusterer", KMeans(3)),
        ({"huscf.clusters": "domains"}, "clusterer", KMeans(2)),
        ({"huscf.clusters": 3, "huscf.random_state": 7}, "clusterer", KMeans(3, random_state=7)),
        ({"huscf.random_state": 7}, "clusterer", SilhouetteKMeans(random_state=7)),
        ({"huscf.divergence": "spatial-softmax"}, "divergence", SpatialSoftmax("peers-from-client", "mean")),
        ({"mode": "parity", "huscf.divergence": "gaussian"}, "divergence", GaussianDivergence()),
        ({"huscf.weighting": "samples"}, "weighting", SampleWeighting()),
        ({"huscf.beta": 2.5}, "weighting", KLDWeighting(2.5)),
        ({"huscf.buffers": "average"}, "buffers", "average"),
        ({"huscf.plain_rounds": 4}, "plain_rounds", 4),
        ({"privacy.min_cluster": 3}, "smallest", 3),
        ({"huscf.feature_scaling": "clients"}, "feature_scaling", "clients"),
        ({"mode": "parity", "huscf.clusters": 3}, "clusterer", KMeans(3, random_state=42)),
        ({"mode": "parity"}, "clusters_in_plain_rounds", False),
    ],
)
def test_one_setting_changes_one_part(make, settings, part, expected):
    assert getattr(averaging_of(make(**settings)), part) == expected


def test_objects_that_are_given_take_the_configured_ones_place(make):
    def clusterer(features, *, seed):
        raise NotImplementedError

    parts = {"divergence": SpatialSoftmax(), "weighting": SampleWeighting()}
    averaging = averaging_of(make(), clusterer=clusterer, **parts)
    assert averaging.clusterer is clusterer
    assert averaging.divergence == SpatialSoftmax()
    assert averaging.weighting == SampleWeighting()


def test_more_clusters_than_clients_are_refused(make):
    check_clusters(make(**{"huscf.clusters": 4}), 4)
    check_clusters(make(), 1)
    with pytest.raises(ValueError, match=r"huscf\.clusters: 5 clusters for 4 clients; take fewer"):
        check_clusters(make(**{"huscf.clusters": 5}), 4)


def test_no_more_clients_are_averaged_than_a_round_has_to_have(make):
    check_clusters(make(**{"privacy.min_cluster": 3, "min_clients": 3}), 3)
    with pytest.raises(ValueError, match=r"privacy\.min_cluster is 3, but there are 2 clients"):
        check_clusters(make(**{"privacy.min_cluster": 3, "min_clients": 3}), 2)
    with pytest.raises(ValueError, match=r"min_cluster is 3, but min_clients is 2, .* set min_clients to 3"):
        check_clusters(make(**{"privacy.min_cluster": 3, "min_clients": 2}), 4)
