from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from huscf_flwr.conf_files import ConfError, known_confs
from huscf_flwr.cuts import Device, Server, deal, load_devices

GOOD = {"name": "a", "gflops": 1.0, "mbit_per_s": 8.0}


def written(folder: Path, devices, server=None) -> Path:
    path = folder / "devices.yaml"
    content = {"server": server or {"gflops": 10, "mbit_per_s": 100}, "devices": devices}
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_papers_profiles_divide_bytes_by_their_rate():
    profiles = load_devices("paper")
    rates = [(device.name, device.gflops, device.upload_bytes_per_s) for device in profiles.devices]
    assert rates == [
        ("d1", 0.48, 50e6),
        ("d2", 48, 150e6),
        ("d3", 124.8, 1e9),
        ("d4", 45.76, 300e6),
        ("d5", 16, 50e6),
        ("d6", 36, 100e6),
        ("d7", 120, 800e6),
    ]
    assert (profiles.server.gflops, profiles.server.bytes_per_s) == (672, 1e9)


def test_every_shipped_device_file_loads():
    assert {"paper", "real"} <= set(known_confs("devices"))
    for name in known_confs("devices"):
        assert load_devices(name).devices


@pytest.mark.parametrize("field", ["gflops", "mbit_per_s", "name"])
def test_a_missing_field_is_named(tmp_path, field):
    broken = {key: value for key, value in GOOD.items() if key != field}
    with pytest.raises(ConfError, match=rf"devices\.0\.{field}' is missing"):
        load_devices(written(tmp_path, [broken]))


@pytest.mark.parametrize("field", ["gflops", "mbit_per_s", "memory_mib", "energy_joule_per_step"])
@pytest.mark.parametrize("value", [-1.0, 0.0, float("nan"), float("inf"), "fast"])
def test_a_field_that_is_not_a_positive_number_is_named_with_its_value(tmp_path, field, value):
    with pytest.raises(ConfError, match=rf"devices\.0\.{field}' is {value!r}"):
        load_devices(written(tmp_path, [{**GOOD, field: value}]))


def test_a_misspelt_field_is_named_with_the_nearest(tmp_path):
    with pytest.raises(ConfError, match=r"memory_mb.*did you mean 'devices.memory_mib'"):
        load_devices(written(tmp_path, [{**GOOD, "memory_mb": 100}]))


def test_two_devices_of_one_name_are_refused(tmp_path):
    with pytest.raises(ConfError, match="two devices are called 'a'"):
        load_devices(written(tmp_path, [GOOD, GOOD]))


def test_a_file_without_devices_is_refused(tmp_path):
    with pytest.raises(ConfError, match="devices"):
        load_devices(written(tmp_path, []))


@given(st.floats(0.1, 1e4), st.floats(1.1, 100))
def test_a_machine_that_has_not_measured_it_packs_the_slower_the_slower_it_computes(gflops, times):
    for kind in (Device, Server):
        quick, slow = (kind(name="a", gflops=speed, mbit_per_s=1) for speed in (gflops, gflops / times))
        assert slow.packing_s == pytest.approx(times * quick.packing_s)
        assert slow.model_copy(update={"packing_ns": 30.0}).packing_s == pytest.approx(30e-9)


def test_no_device_that_is_shipped_packs_as_fast_as_a_server():
    for name in known_confs("devices"):
        found = load_devices(name)
        assert min(device.packing_s for device in found.devices) > found.server.packing_s


def test_an_energy_limit_needs_a_cost():
    with pytest.raises(ValidationError, match="add joule_per_gflop or joule_per_megabyte"):
        Device(**GOOD, energy_joule_per_step=5)
    assert Device(**GOOD, energy_joule_per_step=5, joule_per_gflop=0.1).energy_joule_per_step == 5


@given(st.integers(1, 60), st.integers(1, 9))
def test_profiles_are_dealt_evenly_and_the_first_get_one_more(clients, classes):
    profiles = [Device(name=f"c{index}", gflops=1, mbit_per_s=1) for index in range(classes)]
    counts = Counter(device.name for device in deal(profiles, clients))
    expected = [clients // classes + (index < clients % classes) for index in range(classes)]
    assert [counts[f"c{index}"] for index in range(classes)] == expected


def test_profiles_take_turns():
    assert [device.name[1] for device in deal(load_devices("paper").devices, 9)] == list("123456712")


@pytest.mark.parametrize("clients", [0, -3])
def test_no_clients_are_refused(clients):
    with pytest.raises(ValueError, match=f"clients is {clients}"):
        deal(load_devices("paper").devices, clients)


def test_no_profiles_are_refused():
    with pytest.raises(ValueError, match="no device profiles"):
        deal([], 3)


def test_the_slowest_class_can_be_left_out(tmp_path):
    rest = load_devices("paper").without_slowest()
    assert rest is not None
    assert [device.name for device in rest.devices] == ["d2", "d3", "d4", "d5", "d6", "d7"]
    assert load_devices(written(tmp_path, [GOOD])).without_slowest() is None
