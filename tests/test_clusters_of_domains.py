"""On digits and letters, with the number of clusters unknown, every client finds its own domain's cluster."""

import pytest
from sklearn.metrics import adjusted_rand_score

from huscf_flwr.config import load_config
from huscf_flwr.models import legal_cuts
from huscf_flwr.split import LocalChannel, run_steps
from huscf_flwr.training.coordinator import Coordinator
from huscf_flwr.training.method import method_of, model_spec_of, population_of
from huscf_flwr.training.participant import Participant


def clusters_by_round(config, rounds):
    """Train ``rounds`` rounds with mixed cuts; return the clusters after each, and the domains."""
    spec = model_spec_of(config)
    population = population_of(config, spec)
    options = legal_cuts(spec)
    cuts = {client: options[5 * client % len(options)] for client in range(config.clients)}
    members = {
        client: Participant(client, population.images_of(client), config, spec, cut)
        for client, cut in cuts.items()
    }
    samples = {client: len(population.partitions[client].indices) for client in cuts}
    coordinator = Coordinator(config, spec, samples=samples, cuts=cuts, method=method_of(config))
    found = []
    for _ in range(rounds):
        for cluster, blocks in coordinator.blocks_for(list(cuts)).items():
            for client, member in members.items():
                if coordinator.clusters[client] == cluster:
                    member.split.segments.load(blocks)
        session = coordinator.open_round([list(cuts)])
        hosted = [member.begin_round(coordinator.round) for member in members.values()]
        losses = run_steps(hosted, LocalChannel(session), coordinator.steps)
        coordinator.close_round({k: m.split.segments.states() for k, m in members.items()}, losses)
        found.append(dict(coordinator.clusters))
    return found, population.domain_of()


def agreement(clusters, domains):
    clients = sorted(clusters)
    return adjusted_rand_score([domains[k] for k in clients], [clusters[k] for k in clients])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_two_domains_are_two_clusters_from_the_third_round_at_the_latest(seed, tmp_path):
    config = load_config(
        "demo", [f"seed={seed}", "local_epochs=1", f"data.cache={tmp_path}", "evaluation.every=0"]
    )
    found, domains = clusters_by_round(config, 3)
    assert agreement(found[-1], domains) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["digits", "letters"])
def test_one_domain_is_one_cluster(domain, tmp_path):
    config = load_config("demo", ["local_epochs=1", f"data.domains={domain}", f"data.cache={tmp_path}"])
    found, _ = clusters_by_round(config, 3)
    assert set(found[-1].values()) == {0}
