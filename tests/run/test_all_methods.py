"""What every method can rely on, on the local engine: ours, and one of the tests' own."""

import json
import re
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
import torch

from huscf_flwr.methods import BUILT_IN, method_of
from huscf_flwr.methods.contract import keeps_models
from huscf_flwr.methods.huscf.private_client import HuSCFPrivateClient
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics, read_summary
from tests.quick import OF_EACH_KIND, mostly_slow, with_each
from tests.run.builders import (
    KEEP_ALL,
    LAST_ROUND_DIFFERS,
    METHODS,
    SILENT_AT_FIRST,
    UNJUDGED,
    SilentDisplay,
    all_tensors,
    assert_close,
    assert_same_run,
    evaluations,
    kept_files,
    repeatable,
    server_tensors,
    small_run,
)
from tests.run.poisoning import WEIGHTS, poison

ALL = {**METHODS, "two-exchanges": {"method": "tests.methods.two_exchanges:TwoExchanges"}}

QUICK = [(name, 2) for name in OF_EACH_KIND]


def config_of(images, place, method, name, **other):
    """The configuration of a run of one of the methods."""
    settings = {"model.width": 0.03, "compute.precision": "float64", "batch_size": 16, **UNJUDGED}
    return small_run(images, place, name=name, **{**settings, **ALL[method], **other})


@pytest.fixture(params=ALL)
def make(request, images, tmp_path):
    """Makes the configuration of a run of one of the methods."""
    return partial(config_of, images, tmp_path, request.param)


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    """Gives a method's run on so many hosts, of three rounds that are all kept; it is only read."""

    @cache
    def run(method, hosts):
        place = tmp_path_factory.mktemp("trained")
        config = config_of(images, place, method, f"hosts-{hosts}", rounds=3, **KEEP_ALL)
        train(config, hosts)
        return config

    return run


def train(config, hosts=1):
    train_locally(config, hosts=hosts, display=SilentDisplay(), judged=False)
    return config.folder


def everybody(folder):
    """The ids of all clients: those of central training are the domains."""
    return [client["id"] for client in json.loads((folder / "clients.json").read_text())["clients"]]


def took_part(folder):
    return [[client["id"] for client in line["clients"]] for line in read_metrics(folder)]


def test_no_method_of_ours_is_forgotten():
    assert {settings["method"] for settings in METHODS.values()} == BUILT_IN.keys()


@pytest.mark.parametrize("method", mostly_slow(ALL, *OF_EACH_KIND))
def test_the_number_of_hosts_changes_nothing(trained, method):
    one, two = (trained(method, hosts).folder for hosts in (1, 2))
    assert_close(all_tensors(two), all_tensors(one))
    assert evaluations(two) == evaluations(one)


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL)
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(images, tmp_path, trained, method):
    """On two hosts, from a checkpoint of its own; test_participation has one host and a longer run."""
    whole = trained(method, 2).folder
    rest = train(config_of(images, tmp_path, method, "rest", rounds=3, resume=whole, resume_round=1), hosts=2)
    assert_same_run(rest, whole)
    assert repeatable(read_metrics(rest)) == repeatable(read_metrics(whole))
    assert evaluations(rest)[-1:] == evaluations(whole)


@pytest.mark.slow
@pytest.mark.parametrize("make", ["huscf-private"], indirect=True)
def test_with_secret_noise_a_resumed_run_counts_a_round_twice_and_comes_to_its_end(make, monkeypatch):
    settings = {"rounds": 3, "privacy.noise": "secret"}
    config, upload, uploads = make("a", **settings), HuSCFPrivateClient.upload, []

    def crash_in_the_second_round(member):
        uploads.append(member.client)
        if uploads.count(member.client) == 2:
            raise RuntimeError("switched off")
        return upload(member)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="switched off"):
        patch.setattr(HuSCFPrivateClient, "upload", crash_in_the_second_round)
        train(config)
    folder = train(make("a", resume=config.folder, **settings))

    lines = read_metrics(folder)
    assert took_part(folder) == [everybody(folder)] * 3
    assert all(4.9 < client["epsilon"] <= 5.0 for client in lines[-1]["clients"])
    for path in folder.rglob("spent/*.json"):
        assert [each["round"] for each in json.loads(path.read_text())["spent"]] == [1, 2, 2, 3]


@pytest.mark.parametrize(("make", "hosts"), mostly_slow(with_each(ALL, [1, 2]), *QUICK), indirect=["make"])
def test_a_client_that_diverges_is_in_no_average_of_its_round_and_comes_back(make, monkeypatch, hosts):
    poison(monkeypatch)
    folder = train(make("poisoned", rounds=3), hosts)
    clients, (first, second, third) = everybody(folder), read_metrics(folder)
    assert took_part(folder) == [clients, [client for client in clients if client != 1], clients]
    ((dropped,), others) = second["drop_outs"], first["drop_outs"] + third["drop_outs"]
    assert others == []
    assert dropped["id"] == 1
    assert "client 1" in dropped["reason"]
    assert "nan" in dropped["reason"] or "not finite" in dropped["reason"]
    assert all(tensor.isfinite().all() for tensor in all_tensors(folder).values())


def upload_spoilt(begin, upload):
    """Client 1 sends a number that is none at the end of its second round, though its losses were finite."""
    rounds = {}

    def begin_counted(member, number, order):
        rounds[member.client] = number
        begin(member, number, order)

    def upload_broken(member):
        sent = upload(member)
        if rounds[member.client] != 2 or member.client != 1:
            return sent
        tensors = {
            kind: {
                name: torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor
                for name, tensor in part.items()
            }
            for kind, part in sent.tensors.items()
        }
        return replace(sent, tensors=tensors)

    return begin_counted, upload_broken


# Of these, clients send nothing, or nothing in their second round.
SILENT = {"local", "local-classifier", "uagan", "pflgan", "gefl", "gefl-dcgan"}


@pytest.mark.parametrize("make", mostly_slow(sorted(ALL.keys() - SILENT), *OF_EACH_KIND), indirect=True)
def test_an_upload_that_is_not_finite_is_in_no_average(make, monkeypatch):
    for kind in WEIGHTS:
        begin, upload = upload_spoilt(kind.begin, kind.upload)
        monkeypatch.setattr(kind, "begin", begin)
        monkeypatch.setattr(kind, "upload", upload)
    last_round_differs = make("any").method in LAST_ROUND_DIFFERS
    folder = train(make("spoilt", rounds=3 if last_round_differs else 2))
    clients, (_, second, *_) = everybody(folder), read_metrics(folder)
    assert took_part(folder)[1] == [client for client in clients if client != 1]
    (dropped,) = second["drop_outs"]
    assert dropped["id"] == 1
    assert "not finite" in dropped["reason"]
    assert all(tensor.isfinite().all() for tensor in server_tensors(folder).values())


@pytest.mark.parametrize(("name", "hosts"), mostly_slow(with_each(ALL, [1, 2]), *QUICK))
def test_a_run_leaves_its_files(trained, name, hosts):
    """Products, and scores of models that stay on clients: those of them that the method has."""
    config = trained(name, hosts)
    last, numbers = config.rounds, range(1, config.rounds + 1)
    method, folder = method_of(config), config.folder
    products = set(read_summary(folder)["products"])
    has_models = keeps_models(method.client)
    assert products or has_models
    clients = folder / "checkpoint" / "clients"
    kept = kept_files(clients)
    # In a later round a method may have nothing to keep.
    of_round = [{f"client-{k}-round-{n:04}" for k in everybody(folder)} for n in numbers]
    assert of_round[0] <= kept.keys() <= set().union(*of_round)
    private = config.privacy.epsilon is not None
    spent = {clients / "spent" / f"client-{k}.json" for k in everybody(folder) if private}
    own = spent.union(kept.values())
    assert own == {path for path in clients.rglob("*") if path.is_file()}
    others = {path for path in folder.rglob("*") if path.is_file()} - own
    found = {str(path.relative_to(folder)) for path in others}
    # There may have been other clusters in the rounds before the last.
    earlier = {
        name for name in found if re.fullmatch(rf"samples/round-00[1-{last - 1}]-[a-z0-9-]+\.png", name)
    }
    assert bool(earlier) is bool(products)
    assert found - earlier == {
        *("config.yaml", "clients.json", "metrics.jsonl", "summary.json", "report.html", "log.jsonl"),
        *(f"checkpoint/server-{n:04}.{kind}" for n in numbers for kind in ("json", "safetensors")),
        *(f"generators/{product}.safetensors" for product in products),
        *(f"samples/round-{last:03}-{product}.png" for product in products),
        *(["evaluations.jsonl"] if has_models else []),
        *(["cuts.json"] if config.method == "huscf" else []),
        *(["conf/classifiers.yaml"] if Path(config.classifier.family).is_file() else []),
        *(["conf/decoders.yaml"] if Path(config.classifier.decoder).is_file() else []),
    }
    line = read_metrics(folder)[0]
    exchanges = method.crossing.exchanges
    for way, kinds in (("up", method.crossing.upload_kinds), ("down", method.crossing.order_kinds)):
        by_client = sum(client["bytes"][way] for client in line["clients"])
        assert by_client == sum(line["bytes"][way].values())
        silent = way == "down" and config.method in SILENT_AT_FIRST
        assert bool(by_client) is bool(exchanges or (kinds and not silent))
