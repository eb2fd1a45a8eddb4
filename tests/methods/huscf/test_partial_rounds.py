"""Rounds in which only some clients take part: who begins with what, and what becomes of newcomers.

Once bodies have parted: test_newcomers_to_parted_bodies.py.
"""

from functools import partial

import pytest
import torch

from huscf_flwr.federation import (
    ActivationAccumulator,
    ClusteredAveraging,
    clustered_averaging,
)
from huscf_flwr.models import Cut, flatten_blocks
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.split import SplitExecutor
from tests.methods.huscf.partial_rounds import SAMPLES, TWO_AND_TWO, kept, partial_training
from tests.run.builders import (
    KEEP_ALL,
    UNJUDGED,
    SilentDisplay,
    assert_same_run,
    assert_same_to_the_bit,
    small_run,
    write_domains,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def make(tmp_path):
    return partial(partial_training, tmp_path)


def test_a_round_has_the_steps_of_its_largest_client(make):
    training = make(local_epochs=3)
    assert training.method.steps(1, [0, 1, 2, 3]) == 3 * 2
    assert training.method.steps(1, [2, 3]) == 3
    assert training.train(clients=[2, 3]).opened.steps == 3


@pytest.mark.parametrize(
    ("window", "steps"), [("first-epoch", {1}), ("last-epoch", {3}), ("last-batch", {3})]
)
def test_the_window_is_an_epoch_of_those_who_are_there(make, monkeypatch, window, steps):
    training = make(local_epochs=3, **{"huscf.feature_window": window})
    observed = set()

    def note_step(*_):
        observed.add(training.rounds.opened.session.finished_steps + 1)

    monkeypatch.setattr(ActivationAccumulator, "observe", note_step)
    training.begin([2, 3])
    assert observed == steps


def test_there_are_no_clusters_before_a_round_has_found_some(make):
    method = make().method
    assert (method.products(), method.clusters(), method.judged_for([0, 1])) == ([], {}, None)


def test_who_was_never_there_has_no_cluster_and_is_in_no_product(make):
    training = make((0, 1), (0, 1))
    method = training.method
    training.train(clients=[1, 2])
    assert method.clusters() == {1: 0, 2: 1}
    assert [product.clients for product in method.products()] == [(1,), (2,)]
    training.train(clients=[1, 3])
    assert method.clusters() == {1: 0, 2: 1, 3: 2}
    assert [(product.name, product.clients) for product in method.products()] == [
        ("cluster-0", (1,)),
        ("cluster-1", (2,)),
        ("cluster-2", (3,)),
    ]


def test_the_first_client_that_has_a_cluster_is_judged(make):
    training = make((0, 1), **{"huscf.judged": "first-client"})
    training.train(clients=[1, 2])
    method = training.method
    assert method.judged_for([3, 0]) is None
    assert method.judged_for([0, 2, 1]).name == "cluster-0"
    assert method.judged_for([0, 2, 3]).name == "cluster-1"


def test_a_newcomer_begins_with_the_average_over_all_who_took_part(make):
    training = make((0, 1), cuts=dict.fromkeys(SAMPLES, Cut()))
    method = training.method
    closed = training.train(clients=[0, 1])
    weights = {client: facts["global_weight"] for client, facts in closed.outcome.clients.items()}
    orders = method.orders(2, [2, 0])
    assert orders.clients[2].groups == tuple(
        f"common/{block}" for block in ("discriminator.0", "discriminator.4", "generator.0", "generator.4")
    )
    assert all(name.startswith("cluster-0/") for name in orders.clients[0].groups)
    uploads = closed.collected.uploads
    for name, tensor in orders.of(2).tensors["segments"].items():
        if name.endswith("weight"):
            average = sum(weights[k] * uploads[k].tensors["segments"][name].double() for k in weights)
            torch.testing.assert_close(tensor.double(), average, rtol=0, atol=1e-6)


def test_a_block_that_nobody_kept_is_the_servers(make):
    cuts = {**dict.fromkeys(SAMPLES, Cut()), 3: Cut(2, 2, 2, 2)}
    training = make(cuts=cuts)
    training.train(clients=[0, 1])
    own = training.method.orders(2, [3]).of(3).tensors["segments"]
    body = flatten_blocks(training.method.bodies.segments.states())
    assert_same_to_the_bit(
        {name: tensor for name, tensor in own.items() if name.startswith("generator.1.")},
        {name: tensor for name, tensor in body.items() if name.startswith("generator.1.")},
    )


def test_the_cut_of_a_client_that_was_never_there_may_change(make):
    training = make(cuts=dict.fromkeys(SAMPLES, Cut()))
    training.train(clients=[0, 1])
    method = training.method
    old, new = method.models.states_after_move(3, Cut(), Cut(2, 1, 1, 1))
    assert old.keys() == new.keys()
    method.cuts.now[3] = Cut(2, 1, 1, 1)
    order = method.orders(2, [3]).of(3)
    assert {name.rsplit(".", 2)[0] for name in order.tensors["blocks that change sides"]} == {"generator.1"}
    assert training.train(clients=[0, 3]).outcome.clients[3]["cut"] == [2, 1, 1, 1]


def test_common_blocks_are_not_kept_once_everybody_has_a_cluster(make):
    training = make(**{"huscf.bodies": "shared"})
    training.train(clients=[0, 1])
    assert training.method.models.common is not None
    training.train(clients=[2, 3])
    assert training.method.models.common is None
    groups = training.method.orders(3, [0, 1, 2, 3]).groups
    assert groups
    assert all(name.startswith("cluster-") for name in groups)


def test_where_each_begins_with_its_own_weights_a_later_newcomer_begins_with_the_average(make):
    training = make(**{"huscf.initialisation": "per-client"})
    assert training.method.orders(1, [0, 1]).groups == {}
    training.train(clients=[0, 1])
    orders = training.method.orders(2, [0, 3])
    assert orders.clients[3].groups
    assert all(name.startswith("common/") for name in orders.clients[3].groups)


def test_who_is_not_selected_keeps_its_cluster_and_its_blocks(make):
    training = make((0, 1), (0, 0), **{"huscf.bodies": "shared"})
    training.train(clients=[0, 1])
    method = training.method
    before = method.models.blocks[1]
    training.train(clients=[0, 2])
    assert method.clusters() == {0: 0, 1: 1, 2: 0}
    assert method.models.blocks[1] is before


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


MODES = {
    "parted": {"huscf.clusters": 2},
    "shared": {"huscf.clusters": 2, "huscf.bodies": "shared"},
    "parity": {"mode": "parity"},
}


@pytest.fixture
def half(images, tmp_path):
    settings = {
        **UNJUDGED,
        "clients": 6,
        "fraction_train": 0.5,
        "rounds": 6,
        "batch_size": 10,
        "model.width": 0.03,
        "compute.precision": "float64",
    }

    def train(name, hosts=1, **other):
        config = small_run(images, tmp_path, name=name, **{**settings, **other})
        train_locally(config, hosts=hosts, display=SilentDisplay(), judged=False)
        return config.folder

    return train


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_runs_of_half_of_the_clients_do_not_depend_on_hosts_and_go_on_to_the_bit(half, mode):
    one = half("one", **MODES[mode])
    two = half("two", hosts=2, **MODES[mode], **KEEP_ALL)
    assert_same_run(two, one)
    lines = read_metrics(one)
    assert [len(line["clients"]) for line in lines] == [3] * 6
    for stop in (2, 4):
        assert_same_run(half(f"rest-{stop}", resume=two, resume_round=stop, **MODES[mode]), one)


@pytest.mark.slow
def test_with_all_clients_in_each_round_nothing_of_this_runs(half, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("all clients are there")

    monkeypatch.setattr(clustered_averaging, "find_among_some", refused)
    monkeypatch.setattr(ClusteredAveraging, "common_blocks", refused)
    monkeypatch.setattr(SplitExecutor, "keep_common", refused)
    half("all", fraction_train=1.0, rounds=3, **MODES["parted"])


LEAST_TWO = {"privacy.min_cluster": 2, "min_clients": 2}


def test_a_cluster_of_which_one_client_is_there_keeps_its_blocks(make):
    training = make(TWO_AND_TWO, (0, 0, 1), **LEAST_TWO, **{"huscf.bodies": "shared"})
    training.train()
    method = training.method
    before = dict(method.models.blocks)
    training.train(clients=[0, 1, 3])
    assert method.clusters() == {0: 0, 1: 0, 2: 1, 3: 1}
    assert method.models.blocks[1] is before[1]
    assert method.models.blocks[0] is not before[0]


def test_so_it_does_once_bodies_have_parted(make):
    training = make(TWO_AND_TWO, TWO_AND_TWO, **LEAST_TWO)
    training.train()
    assert "bodies of its own" in training.train().outcome.notes[0]
    method = training.method
    before = kept(method.models.blocks[1])
    facts = training.train(clients=[0, 1, 3]).outcome.clients
    assert_same_to_the_bit(flatten_blocks(method.models.blocks[1]), flatten_blocks(before))
    assert (facts[3]["weight"], facts[0]["weight"] + facts[1]["weight"]) == (0.0, pytest.approx(1))


@pytest.mark.parametrize("initialisation", ["common", "per-client"])
def test_a_first_round_that_is_too_small_changes_nothing_that_clients_begin_with(make, initialisation):
    training = make(TWO_AND_TWO, **LEAST_TWO, **{"huscf.initialisation": initialisation})
    before = training.method.orders(1, [0, 3])
    training.train(clients=[0])
    after = training.method.orders(2, [0, 3])
    assert before.groups.keys() == after.groups.keys()
    for name, parts in before.groups.items():
        assert_same_to_the_bit(after.groups[name]["segments"], parts["segments"])
