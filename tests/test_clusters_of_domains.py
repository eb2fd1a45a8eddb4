"""On digits and letters, with the number of clusters unknown, every client finds its own domain's cluster."""

import pytest
from sklearn.metrics import adjusted_rand_score

from huscf_flwr.config import load_config
from huscf_flwr.run.check import check_run
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from tests.run.builders import SilentDisplay
from tests.run.pictures import little_drawn

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def few_pictures():
    with little_drawn():
        yield


@pytest.fixture
def clusters_and_domains(tmp_path):
    """Train two short rounds of the demo; return each client's cluster after each, and its domain."""

    def train(*settings):
        config = load_config(
            "demo", ["rounds=2", "local_epochs=1", f"output={tmp_path}", f"data.cache={tmp_path}", *settings]
        )
        checked = check_run(config)
        train_locally(checked, display=SilentDisplay(), judged=False)
        domains = checked.population.domain_of()
        clusters = [[client["cluster"] for client in line["clients"]] for line in read_metrics(config.folder)]
        return clusters, [domains[client] for client in sorted(domains)]

    return train


@pytest.mark.parametrize("seed", range(2))
def test_two_domains_are_two_clusters_from_the_first_round_on(seed, clusters_and_domains):
    clusters, domains = clusters_and_domains(f"seed={seed}")
    assert len(set(domains)) == 2
    assert [adjusted_rand_score(domains, of_round) for of_round in clusters] == [1.0, 1.0]


@pytest.mark.parametrize("domain", ["digits", "letters"])
def test_one_domain_is_one_cluster(domain, clusters_and_domains):
    clusters, _ = clusters_and_domains(f"data.domains={domain}")
    assert [set(of_round) for of_round in clusters] == [{0}, {0}]
