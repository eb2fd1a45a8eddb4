import pytest
import torch

from huscf_flwr.cuts import Device, Server, deal_devices
from huscf_flwr.run import host_timer as module
from huscf_flwr.run.host_timer import emulated, host_timer
from huscf_flwr.session import EmulatedTimer, HostTimer
from tests.run.builders import small_run


def test_devices_are_emulated_only_where_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_speed_here", lambda *_: 48.0)
    for asked, kind in (("false", HostTimer), ("true", EmulatedTimer)):
        config = small_run(tmp_path, tmp_path, **{"cuts.emulate": asked})
        assert type(host_timer(config, deal_devices(config))) is kind


@pytest.mark.parametrize(("device", "dynamic"), [("cuda", True), ("cuda", False), ("cpu", True)])
def test_a_gpu_is_waited_for_only_where_cuts_are_chosen_by_the_clients_times(
    tmp_path, monkeypatch, device, dynamic
):
    waited = []
    monkeypatch.setattr(module, "device_of", lambda _: torch.device(device))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(device))
    config = small_run(tmp_path, tmp_path, **{"cuts.dynamic": str(dynamic).lower()})
    with host_timer(config, deal_devices(config)).computing(0):
        pass
    assert bool(waited) is (device == "cuda" and dynamic)


def test_a_device_is_stretched_by_its_speed_and_throttled_by_its_link():
    slow = Device(name="slow", gflops=2, mbit_per_s=8, download_mbit_per_s=16)
    bound = Device(name="bound by the server", gflops=80, mbit_per_s=16)
    found = emulated({3: slow, 5: bound}, Server(gflops=1, mbit_per_s=80), 40.0, packing=0.25)
    assert found[3].stretch == 20
    assert found[5].stretch == 0.5
    assert [1e6 * found[k].upload_s_per_byte for k in (3, 5)] == pytest.approx([1, 0.5])
    assert [1e6 * found[k].download_s_per_byte for k in (3, 5)] == pytest.approx([0.5, 0.1])
    assert found[3].packing_s == 0.25 * slow.packing_s
    assert found[5].packing_s == pytest.approx(found[3].packing_s / 40)


def test_an_emulated_run_reports_the_times_of_its_devices(tmp_path, monkeypatch):
    """The speed of this machine is measured by the rule that counts the run's work."""
    asked = []

    def measured(spec, batch_size, rule, dtype):
        asked.append((batch_size, rule))
        return 1.0

    monkeypatch.setattr(module, "_speed_here", measured)
    config = small_run(tmp_path, tmp_path, **{"cuts.emulate": "true", "cuts.flops": "paper"})
    host_timer(config, deal_devices(config))
    assert asked == [(config.batch_size, "paper")]
