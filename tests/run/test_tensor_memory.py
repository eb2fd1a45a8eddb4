"""How many bytes of tensors a client has at once: counted by hand, and told by whole runs."""

import pytest
import torch

from huscf_flwr.run.check import check_run
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics, read_summary
from huscf_flwr.run.tensor_memory import TensorMeter
from tests.flower.grid_runs import hosts, run
from tests.flower.listed_messages import unlisted
from tests.run.builders import METHODS, UNJUDGED, SilentDisplay, assert_same_run, small_run

MEASURED = {"compute.measure_memory": True}


class Doing:
    """What is being done now."""

    name = "first"

    def __call__(self):
        return self.name


def test_bytes_are_those_of_the_tensors_that_are_alive():
    meter, doing = (found := TensorMeter(Doing())), found.phase
    with meter:
        one = torch.zeros(100)
        other = one + 1
        part = other[:10]
        del other
        doing.name = "second"
        part += 1
        del part
        doing.name = "third"
        one += 1
    assert meter.peaks == {"first": 800, "second": 800, "third": 400}


def test_what_was_there_before_counts_when_it_is_used():
    before, unused = torch.zeros(100), torch.zeros(1000)
    with TensorMeter(Doing()) as meter:
        before.sum()
    assert meter.peaks == {"first": 404}
    assert len(unused) == 1000


def test_what_backward_needs_counts_until_it_is_done():
    """Images, weights, activation and loss; then the gradient of the weights in the activation's place."""
    weights = torch.zeros(100, requires_grad=True)
    with TensorMeter(Doing()) as meter:
        doing = meter.phase
        loss = (torch.zeros(100) * weights).exp().sum()
        doing.name = "between"
        loss.detach()
        doing.name = "backward"
        loss.backward()
        doing.name = "after"
        weights.detach()
    assert meter.peaks["between"] == 3 * 400 + 4
    assert meter.peaks["after"] == 2 * 400 + 4
    assert meter.peaks["first"] > meter.peaks["between"] < meter.peaks["backward"]


def config_of(images, place, name, **settings):
    tuned = {"fedvtc.tuning": "last", "fedvtc.tuning_epochs": 1, "fedvtc.tuning_images": 2}
    return small_run(images, place, name=name, **{**METHODS["fedvtc"], **UNJUDGED, **tuned, **settings})


@pytest.mark.slow
def test_a_run_tells_it_by_phase_and_computes_the_same(images, tmp_path):
    plain = config_of(images, tmp_path, "plain")
    measured = config_of(images, tmp_path, "measured", **MEASURED)
    for config in (plain, measured):
        train_locally(config, display=SilentDisplay(), judged=False)
    assert_same_run(measured.folder, plain.folder)
    lines = read_metrics(measured.folder)
    found = [{phase for client in line["clients"] for phase in client["memory"]} for line in lines]
    assert found == [{"classify", "describe"}, {"classify", "describe", "decode"}, {"tune"}]
    summary = read_summary(measured.folder)["client_memory"]
    assert summary.keys() == {"classify", "describe", "decode", "tune"}
    of_classify = [client["memory"]["classify"] for line in lines[:2] for client in line["clients"]]
    assert summary["classify"]["most"] == max(of_classify)
    assert 0 < summary["classify"]["mean"] <= summary["classify"]["most"]
    assert "client_memory" not in read_summary(plain.folder)
    assert all("memory" not in client for line in read_metrics(plain.folder) for client in line["clients"])


@pytest.mark.slow
def test_it_crosses_as_listed_and_is_the_same_with_flower(images, tmp_path):
    here, there = (
        config_of(images, tmp_path, name, rounds=1, **MEASURED, **{"fedvtc.tuning": "never"})
        for name in ("here", "there")
    )
    train_locally(here, display=SilentDisplay(), judged=False)
    grid = run(there, hosts(2))
    found, expected = (
        {client["id"]: client["memory"] for line in read_metrics(config.folder) for client in line["clients"]}
        for config in (there, here)
    )
    assert found == expected
    replies = [message for message in grid.received if message.metadata.message_type == "train"]
    assert any(name.startswith("memory/") for message in replies for name in message.content)
    for message in replies:
        assert unlisted(message.content, "train", "up", "fedvtc") == []


def test_in_lock_step_it_is_refused_before_anything_starts(images, tmp_path):
    with pytest.raises(
        ValueError, match=r"compute.measure_memory is true, but clients of huscf train in lock"
    ):
        check_run(small_run(images, tmp_path, **MEASURED))
