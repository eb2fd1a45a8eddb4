import pytest

from huscf_flwr.data import DataError
from huscf_flwr.training.check import check_run
from tests.training.builders import small_run


def test_a_run_that_can_be_started_passes_and_leaves_nothing_behind(images, tmp_path):
    check_run(small_run(images, tmp_path), hosts=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "hosts", "message"),
    [
        ({}, 5, "clients: 4 clients for 5 SuperNodes"),
        ({"method.clusters": 5}, 1, "method.clusters: 5 clusters for 4 clients"),
        ({"cuts.solver": "fixed"}, 1, "cuts.solver: fixed needs cuts.fixed"),
        ({"cuts.solver": "fixed", "cuts.fixed": "1,1,1,3"}, 1, "discriminator_tail keeps 3 blocks"),
        ({"model.spec": "authors-29"}, 1, "did you mean 'authors-28'"),
        ({"data.scenario": "two-domain-iid"}, 1, "did you mean 'two-domains-iid'"),
        ({"cuts.devices": "papers"}, 1, "did you mean 'paper'"),
        ({"data.domains": "digits,letter"}, 1, "unknown domain 'letter'.*did you mean 'letters'"),
        ({"data.domains": "digits,kana"}, 1, "unknown domain 'kana'"),
        ({"clients": 200}, 1, "client"),
        (
            {"executor.bind": "0.0.0.0:9000", "executor.advertise": "a:1"},
            1,
            r"executor\.bind: 0\.0\.0\.0:9000",
        ),
        ({"executor.certificate": "a.pem"}, 1, r"executor\.certificate is .*a\.pem, but executor\.key"),
    ],
)
def test_what_is_wrong_is_named(images, tmp_path, settings, hosts, message):
    with pytest.raises(ValueError, match=message):
        check_run(small_run(images, tmp_path, **settings), hosts=hosts)


def test_a_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data\.root: no such folder"):
        check_run(small_run(tmp_path / "nowhere", tmp_path))
