"""`huscf devices`: a profile of this machine."""

import json

import pytest

from huscf_flwr.bench import client_process
from huscf_flwr.cuts.devices import load_devices, load_profiles
from huscf_flwr.models import Cut
from tests.commands.invoking import invoke, refused, succeeded


def test_measure_prints_a_file_that_devices_can_name_and_runs_too_with_a_server(tmp_path):
    arguments = ("--width", 0.05, "--batch-size", 2, "--name", "mine", "--mbit-per-s", 20, "--delay-ms", 3)
    output = succeeded(invoke("devices", "measure", *arguments))
    file = tmp_path / "mine.yaml"
    file.write_text(output)
    assert load_profiles(file)["mine"].delay_ms == 3
    with_server = output.replace("# server:", "server:")
    assert with_server != output
    file.write_text(with_server)
    (device,) = load_devices(file).devices
    assert (device.name, device.mbit_per_s) == ("mine", 20)
    assert device.gflops > 0


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--width", "inf", "width: inf is no positive number"),
        ("--mbit-per-s", "inf", "--mbit-per-s inf: give your upload"),
        ("--delay-ms", "inf", "--delay-ms inf: give it in 1e-3 seconds"),
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
