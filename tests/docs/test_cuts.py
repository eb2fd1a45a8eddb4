"""What docs/cuts.md says of device files."""

import re
from pathlib import Path

import yaml

from huscf_flwr.cuts.devices import Device, DeviceFile, Server

TEXT = (Path(__file__).parents[2] / "docs" / "cuts.md").read_text()


def test_the_example_of_a_device_file_is_one():
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert len(DeviceFile.model_validate(yaml.safe_load(example)).devices) == 2


def test_every_key_of_a_device_has_its_row_and_a_servers_are_named():
    rows = re.search(r"\| key of a device .*?\n\n", TEXT, re.DOTALL)
    listed = {
        name for row in rows[0].strip().splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert listed == Device.model_fields.keys()
    (of_server,) = re.findall(r"A server has (.*?)\. Limits", TEXT)
    assert {*re.findall(r"`(\w+)`", of_server), "name"} == Server.model_fields.keys()
