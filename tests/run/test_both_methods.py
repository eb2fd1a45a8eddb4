"""What every method can rely on, on the local engine: ours, and one of the tests' own."""

from dataclasses import replace

import pytest
import torch

from huscf_flwr.methods.fedgan import FedGANClient
from huscf_flwr.methods.huscf import HuSCFClient
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics, read_summary
from tests.methods.two_exchanges import TwoExchangesClient
from tests.run.builders import (
    UNJUDGED,
    SilentDisplay,
    assert_same_run,
    private_tensors,
    repeatable,
    server_tensors,
    small_run,
)

METHODS = ("huscf", "fedgan", "tests.methods.two_exchanges:TwoExchanges")


@pytest.fixture(params=METHODS, ids=["huscf", "fedgan", "two_exchanges"])
def make(request, images, tmp_path):
    """Makes the configuration of a run of one of the methods."""
    settings = {"model.width": 0.03, "compute.precision": "float64", "batch_size": 16, **UNJUDGED}

    def config(name, **other):
        return small_run(images, tmp_path, name=name, method=request.param, **{**settings, **other})

    return config


def train(config, hosts=1):
    train_locally(config, hosts=hosts, display=SilentDisplay(), judged=False)
    return config.folder


def test_the_number_of_hosts_changes_nothing(make):
    one, two = (train(make(f"hosts-{hosts}"), hosts) for hosts in (1, 2))
    for tensors in (server_tensors, private_tensors):
        found, expected = tensors(two), tensors(one)
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(make, hosts):
    whole = train(make("whole", rounds=3), hosts)
    half = train(make("half", rounds=1), hosts)
    rest = train(make("rest", rounds=3, resume=half), hosts)
    assert_same_run(rest, whole)
    assert repeatable(read_metrics(rest)) == repeatable(read_metrics(whole))


POISONED = {
    HuSCFClient: lambda member: member.split.segments.discriminator.blocks.at(4).main.bias,
    FedGANClient: lambda member: member.networks.discriminator.blocks.at(4).main.bias,
    TwoExchangesClient: lambda member: member.critic.weights,
}


@pytest.fixture
def poisoned(monkeypatch):
    """Client 1 begins its second round with a weight that is no number."""
    for kind, weight in POISONED.items():
        monkeypatch.setattr(kind, "begin", poisoned_begin(kind.begin, weight))


def poisoned_begin(begin, weight):
    def begin_broken(member, number, order):
        begin(member, number, order)
        if (member.client, number) == (1, 2):
            with torch.no_grad():
                weight(member).fill_(float("nan"))

    return begin_broken


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("hosts", [1, 2])
def test_a_client_that_diverges_is_in_no_average_of_its_round_and_comes_back(make, hosts):
    folder = train(make("poisoned", rounds=3), hosts)
    first, second, third = read_metrics(folder)
    assert [[client["id"] for client in line["clients"]] for line in (first, second, third)] == [
        [0, 1, 2, 3],
        [0, 2, 3],
        [0, 1, 2, 3],
    ]
    ((dropped,), others) = second["drop_outs"], first["drop_outs"] + third["drop_outs"]
    assert others == []
    assert dropped["id"] == 1
    assert "client 1" in dropped["reason"]
    assert "nan" in dropped["reason"]
    assert all(tensor.isfinite().all() for tensor in server_tensors(folder).values())


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


def test_an_upload_that_is_not_finite_is_in_no_average(make, monkeypatch):
    for kind in POISONED:
        begin, upload = upload_spoilt(kind.begin, kind.upload)
        monkeypatch.setattr(kind, "begin", begin)
        monkeypatch.setattr(kind, "upload", upload)
    folder = train(make("spoilt", rounds=3))
    second = read_metrics(folder)[1]
    assert [client["id"] for client in second["clients"]] == [0, 2, 3]
    (dropped,) = second["drop_outs"]
    assert dropped["id"] == 1
    assert "not finite" in dropped["reason"]
    assert all(tensor.isfinite().all() for tensor in server_tensors(folder).values())


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_run_leaves_its_files(make, hosts):
    config = make("files", rounds=1)
    folder = train(config, hosts)
    products = set(read_summary(folder)["products"])
    assert products
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found >= {
        *("config.yaml", "clients.json", "metrics.jsonl", "summary.json", "report.html", "log.jsonl"),
        *("checkpoint/server-0001.json", "checkpoint/server-0001.safetensors"),
        *(f"checkpoint/clients/client-{client}-round-0001.safetensors" for client in range(4)),
        *(f"generators/{product}.safetensors" for product in products),
        *(f"samples/round-001-{product}.png" for product in products),
    }
    (line,) = read_metrics(folder)
    for way in ("up", "down"):
        by_client = sum(client["bytes"][way] for client in line["clients"])
        assert by_client == sum(line["bytes"][way].values()) > 0
