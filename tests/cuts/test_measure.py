from itertools import count

import pytest

from huscf_flwr.conf_files import ConfError
from huscf_flwr.cuts import Device
from huscf_flwr.cuts.costs import step_costs
from huscf_flwr.cuts.devices import load_devices, load_profiles
from huscf_flwr.cuts.measure import MeasuredSpeed, measure_packing, measure_speed, profile_file
from huscf_flwr.models import load_model_spec


def test_speed_is_counted_work_over_the_clocks_time():
    """A clock that goes on by a second a reading makes every run take a second."""
    spec = load_model_spec("authors-28", 0.05)
    ticks = count()
    speed = measure_speed(spec, batch_size=3, repetitions=2, clock=lambda: float(next(ticks)))
    costs = step_costs(spec, 3, "exact")
    assert speed.model_gflops == pytest.approx(
        costs.generator.total_gflop() + costs.discriminator.total_gflop()
    )
    assert speed.matrix_gflops == pytest.approx(2 * 1024**3 / 1e9)
    assert next(ticks) == 8


def test_the_median_run_counts():
    readings = iter([0, 1, 10, 18, 20, 22, 30, 31, 40, 41, 50, 51])
    spec = load_model_spec("authors-28", 0.05)
    speed = measure_speed(spec, batch_size=2, repetitions=3, clock=lambda: float(next(readings)))
    costs = step_costs(spec, 2, "exact")
    work = costs.generator.total_gflop() + costs.discriminator.total_gflop()
    assert speed.model_gflops == pytest.approx(work / 2)


def test_packing_takes_the_clocks_time_for_each_number_that_is_packed_and_unpacked():
    """Four ways to pack, each there and back."""
    ticks = count()
    found = measure_packing(repetitions=1, clock=lambda: float(next(ticks)))
    assert found == pytest.approx(1e9 / (8 * 2**19))


@pytest.mark.parametrize("delay_ms", [0.0, 12.5])
def test_the_printed_file_has_the_profile_of_a_device(tmp_path, delay_ms):
    speed = MeasuredSpeed(123.456, 200.0)
    text = profile_file("desk", speed, mbit_per_s=90.0, delay_ms=delay_ms, packing_ns=12.34)
    (tmp_path / "mine.yaml").write_text(text)
    desk = Device(name="desk", gflops=123.5, mbit_per_s=90.0, packing_ns=12.3, delay_ms=delay_ms)
    assert load_profiles(tmp_path / "mine.yaml") == {"desk": desk}
    with pytest.raises(ConfError, match="'server' is missing: add it"):
        load_devices(tmp_path / "mine.yaml")
