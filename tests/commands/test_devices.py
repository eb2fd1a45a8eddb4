"""`huscf devices`: a profile of this machine."""

import yaml

from tests.commands.invoking import invoke, refused, succeeded


def test_measure_prints_a_profile_that_can_be_pasted():
    arguments = ("--width", 0.05, "--batch-size", 2, "--name", "mine", "--mbit-per-s", 20)
    output = succeeded(invoke("devices", "measure", *arguments))
    (entry,) = yaml.safe_load(output)
    assert (entry["name"], entry["mbit_per_s"]) == ("mine", 20.0)
    assert entry["gflops"] > 0


def test_measure_refuses_an_empty_batch():
    assert "batch_size is 0" in refused(invoke("devices", "measure", "--batch-size", 0))
