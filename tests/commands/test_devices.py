"""`huscf devices`: a profile of this machine."""

import json

import pytest
import yaml

from huscf_flwr.bench import client_process
from huscf_flwr.models import Cut
from tests.commands.invoking import invoke, refused, succeeded


def test_measure_prints_a_profile_that_can_be_pasted():
    arguments = ("--width", 0.05, "--batch-size", 2, "--name", "mine", "--mbit-per-s", 20)
    output = succeeded(invoke("devices", "measure", *arguments))
    (entry,) = yaml.safe_load(output)
    assert (entry["name"], entry["mbit_per_s"]) == ("mine", 20.0)
    assert entry["gflops"] > 0


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--width", "inf", "width: inf is no positive number"),
        ("--mbit-per-s", "inf", "--mbit-per-s inf: give your upload"),
        ("--mbit-per-s", -1, "--mbit-per-s -1: give your upload"),
    ],
)
def test_measure_refuses_what_cannot_be_measured(option, value, message):
    assert message in refused(invoke("devices", "measure", option, value))


@pytest.mark.slow
def test_client_measures_a_process_for_each_cut(monkeypatch):
    """PyTorch's own process does without it here."""
    monkeypatch.setattr(client_process, "_PYTORCH", client_process._PYTORCH.replace(", torch", ""))
    monkeypatch.setattr(client_process, "extreme_cuts", lambda spec: {"lightest cuts": Cut()})
    arguments = ("--width", 0.03, "--batch-size", 2, "--steps", 1, "--format", "json")
    pytorch, client = json.loads(succeeded(invoke("devices", "client", *arguments)))
    assert (pytorch["name"], client["name"]) == ("PyTorch alone", "lightest cuts")
    assert client["peak_bytes"] >= client["loaded_bytes"] > pytorch["loaded_bytes"] > 0
    assert client["ready_s"] > 0
    assert client["core_s"] > pytorch["core_s"]
