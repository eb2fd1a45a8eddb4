"""Rounds in which only some clients take part, on the local engine."""

from functools import cache, partial

import pytest

from huscf_flwr.methods.fedgan import FedGAN, FedGANClient
from huscf_flwr.run.check import check_run
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from tests.quick import OF_EACH_WAY, mostly_slow
from tests.run.builders import (
    KEEP_ALL,
    LAST_ROUND_DIFFERS,
    METHODS,
    UNJUDGED,
    SilentDisplay,
    all_tensors,
    assert_close,
    assert_same_run,
    repeatable,
    small_run,
)


def config_of(images, place, name, **other):
    """The configuration of a run in which half of four clients take part."""
    settings = {
        "method": "fedgan",
        "model.width": 0.03,
        "compute.precision": "float64",
        "batch_size": 16,
        "fraction_train": 0.5,
        "rounds": 4,
        **UNJUDGED,
    }
    return small_run(images, place, name=name, **{**settings, **other})


@pytest.fixture
def make(images, tmp_path):
    return partial(config_of, images, tmp_path)


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """Gives a method's run on one host, of which all rounds are kept; it is only read."""

    @cache
    def run(method):
        place = tmp_path_factory.mktemp("whole")
        return train(config_of(images, place, "whole", **KEEP_ALL, **METHODS[method], **phases_of(method)))

    return run


def phases_of(method):
    """Phases are parts of all rounds, unless it is said how many the first has."""
    phases = {"pflgan": {"pflgan.local_rounds": 2}, "gefl": {"gefl.generator_rounds": 1}}
    return phases.get(METHODS[method]["method"], {})


def train(config, hosts=1, **parts):
    train_locally(config, hosts=hosts, display=SilentDisplay(), judged=False, **parts)
    return config.folder


def took_part(folder):
    return [[client["id"] for client in line["clients"]] for line in read_metrics(folder)]


@pytest.mark.slow
def test_half_of_the_clients_take_part_and_not_always_the_same(whole):
    rounds = took_part(whole("fedgan"))
    assert [len(clients) for clients in rounds] == [2, 2, 2, 2]
    assert len({tuple(clients) for clients in rounds}) > 1


SAMPLED = sorted(METHODS.keys() - {"central"})
"""Central training trains every domain in every round."""
SAMPLED_EACH_WAY = [name for name in OF_EACH_WAY if name in SAMPLED]


def test_central_training_takes_all_domains_and_says_so(make):
    with pytest.raises(ValueError, match=r"fraction_train: 0.5, but central trains every domain"):
        check_run(make("central", **METHODS["central"]))
    assert took_part(train(make("all", **METHODS["central"], fraction_train=1.0, rounds=1))) == [[0, 1]]


def test_pools_are_counted_where_a_method_pools_domains(make):
    """Of four clients there are two pools."""
    with pytest.raises(ValueError, match=r"min_clients: 3, .* a round begins with 2 of 2 clients"):
        check_run(make("pools", **METHODS["central"], fraction_train=1.0, min_clients=3))


@pytest.mark.parametrize("method", mostly_slow(SAMPLED_EACH_WAY, "fedproto", "huscf"))
def test_the_number_of_hosts_changes_nothing(make, whole, method):
    """A client may come to another host in its next round, with what it kept."""
    one, two = whole(method), train(make("hosts-2", **KEEP_ALL, **METHODS[method]), 2)
    assert took_part(one) == took_part(two)
    assert_close(all_tensors(two), all_tensors(one))


@pytest.mark.slow
@pytest.mark.parametrize("method", SAMPLED)
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(make, whole, method):
    settings, expected = {**METHODS[method], **phases_of(method)}, whole(method)
    # Noise is planned for all rounds, so a shorter run has less of it.
    if METHODS[method]["method"] in LAST_ROUND_DIFFERS or "privacy.epsilon" in METHODS[method]:
        rest = train(make("rest", **settings, resume=expected, resume_round=2))
    else:
        part = train(make("part", **settings, rounds=2))
        rest = train(make("rest", **settings, resume=part))
    assert_same_run(rest, expected)
    assert repeatable(read_metrics(rest)) == repeatable(read_metrics(expected))


@pytest.mark.slow
def test_more_hosts_than_clients_in_a_round_do_no_harm(make, whole):
    assert_same_run(train(make("many-hosts"), hosts=4), whole("fedgan"))


@pytest.mark.slow
def test_a_least_number_of_clients_can_be_asked_for(make):
    assert {len(each) for each in took_part(train(make("least", min_train_clients=3)))} == {3}


def test_too_few_clients_are_found_before_anything_starts(make):
    with pytest.raises(ValueError, match=r"min_clients: 3, but with fraction_train = 0.5 .* 2 of 4 clients"):
        check_run(make("too-few", min_clients=3))


class Picky(FedGAN):
    """Selects what it is told to."""

    chosen = ()

    def select(self, number, available):
        return self.chosen


@pytest.mark.parametrize("chosen", [(), (1, 9), (2, 2)])
def test_a_method_that_selects_others_than_there_are_is_told_so(make, chosen):
    method = type("Chosen", (Picky,), {"chosen": chosen})
    with pytest.raises(ValueError, match="select must return some of them, each once"):
        train(make("picky"), make_method=method)


def test_only_one_client_that_trains_alone_is_in_memory(make, monkeypatch):
    alive, most = set(), []

    class Counted(FedGANClient):
        def begin(self, number, order):
            super().begin(number, order)
            alive.add(self.client)
            most.append(len(alive))

        def upload(self):
            alive.discard(self.client)
            return super().upload()

    monkeypatch.setattr(FedGAN, "client", Counted)
    train(make("in-turn", fraction_train=1.0, rounds=1))
    assert most == [1, 1, 1, 1]
