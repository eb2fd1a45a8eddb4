import pytest

from huscf_flwr.models import Cut, largest_cut
from huscf_flwr.evaluation.judging import Harness
from huscf_flwr.methods.huscf.parts import model_spec_of, population_of
from tests.run.builders import DOMAINS, coordinator_of, small_run, train_round

SAMPLES = dict.fromkeys(range(4), 30)


@pytest.fixture
def make(images, tmp_path):
    def harness_and_coordinator(**settings):
        config = small_run(images, tmp_path, **{"model.width": 0.03, **settings})
        harness = Harness(config, population_of(config, model_spec_of(config)))
        return harness, coordinator_of(config, samples=SAMPLES)

    return harness_and_coordinator


def test_domains_are_judged_by_the_cluster_of_most_of_their_clients(make):
    """Clients 0 and 1 hold digits, 2 and 3 letters."""
    harness, coordinator = make()
    train_round(coordinator)
    (blocks,) = {id(b): b for b in coordinator.cluster_blocks.values()}.values()
    coordinator.cluster_blocks = dict.fromkeys((0, 1), blocks)
    coordinator.clusters = {0: 1, 1: 1, 2: 0, 3: 0}
    judged = harness.judge(coordinator, thoroughly=False)
    assert {name: scores["cluster"] for name, scores in judged.items()} == dict(
        zip(DOMAINS, (1, 0), strict=True)
    )
    assert harness.adjusted_rand_index(coordinator) == 1.0
    coordinator.clusters = dict.fromkeys(range(4), 0)
    assert harness.adjusted_rand_index(coordinator) == 0.0


def test_a_quick_look_leaves_out_what_takes_long(make):
    harness, coordinator = make()
    train_round(coordinator)
    quick = harness.judge(coordinator, thoroughly=False)["digits"]
    assert quick["label_fidelity"] is not None
    assert quick["tstr_accuracy"] is None
    thorough = harness.judge(coordinator, thoroughly=True)["digits"]
    assert None not in thorough.values()
    assert harness.judge(coordinator, thoroughly=True)["digits"] == thorough


def test_parity_judges_with_the_cut_of_a_domains_first_client(make):
    """Bodies are averaged over all clients and blocks of a cluster over its own: from the second round on it
    matters to whom a block belongs.
    """
    harness, coordinator = make(**{"method.judged": "first-client", "method.clusters": 2})
    by_cluster, _ = make()
    train_round(coordinator)
    train_round(coordinator)

    def distance(judging):
        return judging.judge(coordinator, thoroughly=True)["digits"]["fid"]

    coordinator.cuts[0] = Cut(1, 1, 1, 1)
    assert distance(harness) != distance(by_cluster)
    coordinator.cuts[0] = largest_cut(coordinator.spec)
    assert distance(harness) == distance(by_cluster)
