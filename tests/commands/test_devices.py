"""`huscf devices`: a profile of this machine."""

import pytest
import yaml

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
        ("--batch-size", 0, "--batch-size 0: batches are normalised, which takes 2 images"),
        ("--batch-size", 1, "--batch-size 1: batches"),
        ("--width", "inf", "width: inf is no positive number"),
        ("--mbit-per-s", "inf", "--mbit-per-s inf: give your upload"),
        ("--mbit-per-s", -1, "--mbit-per-s -1: give your upload"),
    ],
)
def test_measure_refuses_what_cannot_be_measured(option, value, message):
    assert message in refused(invoke("devices", "measure", option, value))
