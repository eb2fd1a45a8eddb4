import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from huscf_flwr.config import DataSection, EvaluationSection, MethodSettings, RunConfig
from huscf_flwr.cuts import load_devices
from huscf_flwr.data import Partition, Population
from huscf_flwr.evaluation import judge_domain, judge_quickly, load_or_train_judge
from huscf_flwr.evaluation.domain_scores import JUDGE_SEED, evaluation_settings
from huscf_flwr.evaluation.judging import Judging, draws_images
from huscf_flwr.methods.contract import Crossing, Description, MessageClient, Method, Product
from huscf_flwr.seeding import torch_stream
from tests.evaluation.domains import digits_8x8, real_sampler
from tests.run.builders import METHODS, method_class

FEW = digits_8x8().train.subset(torch.arange(400))
DOMAINS = {name: replace(digits_8x8(), name=name, train=FEW) for name in ("digits", "letters")}
OWNERS = ("digits", "digits", "letters", "letters")


class Shelf(Method):
    """Its products draw real images of another label, so many further as their tensor says."""

    name = "shelf"
    Settings = MethodSettings
    client = MessageClient
    crossing = Crossing()

    def __init__(self, config, clients, products, clusters):
        super().__init__(config, clients)
        self._products, self._clusters = products, clusters

    @classmethod
    def sampler(cls, config, product):
        return real_sampler(digits_8x8(), label_shift=int(product["shift"]))

    def steps(self, number):
        raise NotImplementedError

    orders = form = close_round = state = load = steps

    def products(self):
        return self._products

    def clusters(self):
        return self._clusters


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return RunConfig(
        seed=3,
        data=DataSection(cache=tmp_path_factory.mktemp("cache")),
        evaluation=EvaluationSection(images=60, synthetic_images=40),
    )


@pytest.fixture(scope="module")
def population():
    parts = [Partition(client, owner, np.arange(5)) for client, owner in enumerate(OWNERS)]
    return Population(DOMAINS, tuple(parts))


@pytest.fixture(scope="module")
def judging(config, population):
    return Judging(config, population)


def shelf(config, products: Mapping[str, tuple[tuple[int, ...], int]], clusters=None):
    """Products by name: for whom, and by how much their labels are wrong."""
    device = load_devices("paper").devices[0]
    clients = dict.fromkeys(range(len(OWNERS)), Description(samples=5, device=device))
    made = [Product(name, own, {"shift": torch.tensor(shift)}) for name, (own, shift) in products.items()]
    return Shelf(config, clients, made, clusters or {})


def judges_in(cache):
    return sorted(path.name.split("-")[0] for path in (cache / "judges").glob("*.safetensors"))


def test_where_only_classifiers_are_scored_no_judge_is_trained_before_one_is_needed(tmp_path, population):
    config = RunConfig(
        method="fedproto",
        data=DataSection(cache=tmp_path),
        evaluation=EvaluationSection(images=60, synthetic_images=0),
    )
    judging = Judging(config, population)
    judging.own_models({0: {"test": {"accuracy": 0.5}}})
    assert judges_in(tmp_path) == []
    judging.domains(shelf(config, {"global": ((2, 3), 0)}), 1, thoroughly=False)
    assert judges_in(tmp_path) == ["letters"]


@pytest.mark.slow
def test_where_images_are_drawn_judges_are_trained_before_the_first_round_and_it_is_logged(
    tmp_path, population, caplog
):
    config = RunConfig(method="fedgan", data=DataSection(cache=tmp_path))
    with caplog.at_level(logging.INFO):
        Judging(config, population)
    assert judges_in(tmp_path) == ["digits", "letters"]
    assert [record.getMessage() for record in caplog.records] == [
        f"training the judge of {name}, once: it is kept in {tmp_path / 'judges'}" for name in DOMAINS
    ]


def test_of_a_judge_that_is_trained_it_is_told_and_of_one_that_is_there_nothing(tmp_path, population):
    told = []
    for _ in range(2):
        Judging(RunConfig(method="fedgan", data=DataSection(cache=tmp_path)), population, told.append)
    assert [line.partition(",")[0] for line in told] == [f"training the judge of {name}" for name in DOMAINS]


@pytest.mark.slow
def test_a_judge_that_is_often_wrong_is_warned_of(tmp_path, population):
    """Test images with other labels than the judge has learnt."""
    digits = DOMAINS["digits"]
    wrong = replace(digits, test=replace(digits.test, labels=(digits.test.labels + 1) % 10))
    config = RunConfig(method="fedgan", data=DataSection(cache=tmp_path))
    doubted = Judging(config, replace(population, domains={**DOMAINS, "digits": wrong})).notes
    trusted = Judging(config, population).notes
    (doubt,) = set(doubted) - set(trusted)
    assert doubt.startswith("the judge of digits is right on 0.0")
    assert "FID mean little" in doubt


CLASSIFYING = {
    "fedproto",
    "fedvtc",
    "fedtgp",
    "fedgen",
    "gefl",
    "gefl-dcgan",
    "ccvr",
    "fedtype",
    "local-classifier",
}
"""Products of FedVTC and of GeFL are seen when there are some."""


@pytest.mark.parametrize("name", METHODS)
def test_only_methods_for_classifiers_draw_no_images(name):
    assert draws_images(method_class(name)) is (name not in CLASSIFYING)


@pytest.mark.slow
def test_a_domain_has_the_means_of_its_clients_but_not_of_what_they_held_out(judging):
    found = judging.own_models(
        {
            0: {"test": {"accuracy": 0.5}, "held_out": {"f1": 1.0}, "generated": {"fid": 3.0}},
            1: {"test": {"accuracy": 1.0}},
            3: {"generated": {"fid": 5.0}},
        }
    )
    assert found == {
        "digits": {"product": "own models", "accuracy": 0.75, "fid": 3.0},
        "letters": {"product": "own models", "fid": 5.0},
    }


def test_a_domain_is_judged_by_the_product_of_most_of_its_clients(judging, config):
    method = shelf(config, {"right": ((2, 3), 0), "wrong": ((0, 1), 1)})
    judged = judging.domains(method, 1, thoroughly=False)
    assert {name: scores["product"] for name, scores in judged.items()} == {
        "digits": "wrong",
        "letters": "right",
    }
    assert judged["digits"]["label_fidelity"] < 0.3
    assert judged["letters"]["label_fidelity"] > 0.5


def test_a_domain_without_a_product_is_left_out(judging, config):
    method = shelf(config, {"right": ((2,), 0)})
    assert list(judging.domains(method, 1, thoroughly=False)) == ["letters"]


def test_a_quick_look_leaves_out_what_takes_long(judging, config):
    method = shelf(config, {"global": ((0, 1, 2, 3), 0)})
    quick = judging.domains(method, 2, thoroughly=False)["digits"]
    assert quick["label_fidelity"] is not None
    assert quick["tstr_accuracy"] is None
    thorough = judging.domains(method, 2, thoroughly=True)["digits"]
    assert None not in thorough.values()
    assert judging.domains(method, 2, thoroughly=True)["digits"] == thorough


@pytest.mark.parametrize("thoroughly", [False, True])
def test_scores_are_those_of_a_stream_of_domain_and_round(judging, config, thoroughly):
    method = shelf(config, {"global": ((0, 1, 2, 3), 0)})
    look = judge_domain if thoroughly else judge_quickly
    expected = look(
        DOMAINS["letters"],
        real_sampler(digits_8x8()),
        load_or_train_judge(DOMAINS["letters"], seed=JUDGE_SEED, cache=config.data.cache),
        evaluation_settings(config),
        torch_stream(config.seed, "judging", "letters", 4),
    )
    judged = judging.domains(method, 4, thoroughly=thoroughly)["letters"]
    assert judged == {"product": "global", **expected.as_dict()}


def test_clusters_are_scored_against_the_domains(judging, config):
    products = {"global": ((0, 1, 2, 3), 0)}
    assert judging.clustering(shelf(config, products, {0: 5, 1: 5, 2: 0, 3: 0})) == {"ari": 1.0}
    assert judging.clustering(shelf(config, products, dict.fromkeys(range(4), 0))) == {"ari": 0.0}


def test_a_method_without_clusters_has_no_such_score(judging, config):
    assert judging.clustering(shelf(config, {"global": ((0, 1, 2, 3), 0)})) == {}


def test_a_client_of_no_known_domain_leaves_the_clusters_unscored(judging, config):
    assert judging.clustering(shelf(config, {}, {0: 0, 1: 0, 9: 1})) == {}
