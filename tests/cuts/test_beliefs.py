import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.config import PRESETS
from huscf_flwr.cuts import Beliefs, CutProblem, Device, Server
from huscf_flwr.cuts.beliefs import server_gflop
from huscf_flwr.models import Cut, legal_cuts, load_model_spec
from huscf_flwr.session import StepTimes, sent_bytes_by

SPEC = load_model_spec("authors-28", 0.05)
SERVER = Server(gflops=50, mbit_per_s=800)
cuts = st.sampled_from(legal_cuts(SPEC))
rates = st.floats(0.01, 1e3)
devices = st.builds(
    Device,
    name=st.just("any"),
    gflops=rates,
    mbit_per_s=rates,
    download_mbit_per_s=st.none() | rates,
    memory_mib=st.just(4096.0),
)


def problem_of(*profiles, server=SERVER):
    return CutProblem(SPEC, profiles, server, 8)


def true_times(device, cut):
    """The seconds that the latency model gives a client on its own: what would be measured."""
    compute, link = problem_of(device).model.client_seconds([cut])
    return StepTimes(float(compute[0]), float(link[0]))


@given(
    rates,
    rates,
    st.floats(0.01, 700),
    st.floats(0.01, 700),
    st.none() | st.floats(1, 1e4),
    cuts,
    st.sampled_from(PRESETS),
)
def test_what_packing_takes_is_not_taken_for_a_slow_link(
    declared_gflops, gflops, declared_rate, rate, packing_ns, cut, preset
):
    """The model's own times of a first round give back the profile, whatever speed and rate were declared."""
    declared, real = (
        Device(
            name="any",
            gflops=speed,
            mbit_per_s=link,
            download_mbit_per_s=link,
            delay_ms=20,
            packing_ns=packing_ns,
        )
        for speed, link in ((declared_gflops, declared_rate), (gflops, rate))
    )
    problem = replace(problem_of(real), sent=sent_bytes_by(preset))
    compute, link = problem.model.client_seconds([cut])
    server_s = server_gflop(problem.costs, cut) / SERVER.gflops
    begun = Beliefs({3: declared}, SERVER.model_copy(update={"gflops": 7.0}))
    times = {3: StepTimes(float(compute[0]), float(link[0]))}
    found = begun.learned(replace(problem, devices=(declared,)), {3: cut}, times, server_s, weight=0.5)
    assert found.devices[3].gflops == pytest.approx(gflops)
    assert found.devices[3].mbit_per_s == pytest.approx(rate, rel=1e-4)
    as_found = replace(problem, devices=(found.devices[3],), server=found.server)
    assert as_found.latency([cut]) == pytest.approx(problem.latency([cut]), rel=1e-4)


def learned(declared, cut, times, *, server_s=1.0, rounds=0, weight=0.5):
    beliefs = Beliefs({3: declared}, SERVER, rounds)
    return beliefs.learned(problem_of(declared), {3: cut}, times, server_s, weight=weight)


@given(devices, cuts, st.floats(0, 100))
def test_the_delay_of_a_link_is_not_taken_for_slowness(device, cut, delay_ms):
    far = device.model_copy(update={"delay_ms": delay_ms})
    found = learned(far, cut, {3: true_times(far, cut)}).devices[3]
    assert found.mbit_per_s == pytest.approx(device.mbit_per_s, rel=1e-6)
    assert found.delay_ms == delay_ms


@given(devices, devices, cuts)
def test_the_first_round_makes_the_model_say_what_was_measured(declared, real, cut):
    times = true_times(real, cut)
    found = true_times(learned(declared, cut, {3: times}).devices[3], cut)
    assert found.compute_s == pytest.approx(times.compute_s)
    # The server's link bounds a download whatever is believed of the client's.
    assert found.transfer_s >= times.transfer_s * (1 - 1e-9)
    if real.download_bytes_per_s < SERVER.bytes_per_s / 2 and real.upload_bytes_per_s < 1e3:
        assert found.transfer_s == pytest.approx(times.transfer_s)


@given(devices, cuts, st.floats(0.01, 1))
def test_later_rounds_are_averaged_over_seconds(device, cut, weight):
    """Of a device that has become ten times slower, 1 + 9 * weight is believed at once."""
    before = true_times(device, cut)
    slow = StepTimes(10 * before.compute_s, 10 * before.transfer_s)
    found = learned(device, cut, {3: slow}, rounds=1, weight=weight).devices[3]
    assert device.gflops / found.gflops == pytest.approx(1 + 9 * weight)
    assert true_times(found, cut).transfer_s == pytest.approx((1 + 9 * weight) * before.transfer_s)


@given(devices, cuts)
def test_what_was_measured_as_believed_changes_nothing(device, cut):
    found = learned(device, cut, {3: true_times(device, cut)}, rounds=1).devices[3]
    assert found.gflops == pytest.approx(device.gflops)
    assert found.mbit_per_s == pytest.approx(device.mbit_per_s)


@given(devices, cuts)
def test_name_and_limits_stay(device, cut):
    found = learned(device, cut, {3: StepTimes(1.0, 1.0)}).devices[3]
    assert (found.name, found.memory_mib) == (device.name, device.memory_mib)


@given(devices, cuts)
def test_times_of_zero_give_profiles_that_are_finite(device, cut):
    found = learned(device, cut, {3: StepTimes(0.0, 0.0)}, server_s=0.0)
    for value in (found.devices[3].gflops, found.devices[3].mbit_per_s, found.server.gflops):
        assert math.isfinite(value)
        assert value > 0
    assert math.isfinite(problem_of(found.devices[3], server=found.server).latency([cut]))


def test_a_client_that_was_not_measured_stays_as_it_was():
    device = Device(name="d", gflops=1, mbit_per_s=1)
    assert learned(device, Cut(), {}).devices == {3: device}


BOTH = {0: Cut(1, 1, 1, 1), 1: Cut(2, 2, 2, 2)}
SLOW = Device(name="d", gflops=1, mbit_per_s=1)


def learned_by_round(*rounds, weight=0.5):
    """What is believed after rounds of two clients, of which each has the times of those that were there."""
    beliefs = Beliefs(dict.fromkeys(BOTH, SLOW), SERVER)
    for times in rounds:
        beliefs = beliefs.learned(problem_of(SLOW, SLOW), BOTH, times, 4.0, weight=weight)
    return beliefs


@pytest.mark.parametrize("present", [(0,), (1,), (0, 1)])
def test_the_server_is_measured_by_the_bodies_of_the_clients_that_were_there(present):
    gflop = sum(server_gflop(problem_of(SLOW).costs, BOTH[client]) for client in present)
    found = learned_by_round(dict.fromkeys(present, StepTimes(1.0, 1.0)))
    assert found.server.gflops == pytest.approx(gflop / 4)
    assert found.rounds == 1


def test_the_first_measurement_of_a_client_that_comes_later_takes_the_place_of_what_was_declared_too():
    times = {client: true_times(SLOW.model_copy(update={"gflops": 0.1}), cut) for client, cut in BOTH.items()}
    first = learned_by_round({0: times[0]})
    assert first.devices[1] == SLOW
    assert first.unmeasured == {1}
    both = learned_by_round({0: times[0]}, times)
    assert [both.devices[client].gflops for client in BOTH] == pytest.approx([0.1, 0.1])
    assert both.unmeasured == frozenset()


def test_a_later_measurement_is_averaged_in_whoever_was_away_meanwhile():
    fast, slow = (
        {client: true_times(SLOW.model_copy(update={"gflops": gflops}), cut) for client, cut in BOTH.items()}
        for gflops in (1.0, 0.1)
    )
    found = learned_by_round(fast, {0: fast[0]}, slow)
    assert [found.devices[client].gflops for client in BOTH] == pytest.approx([1 / 5.5, 1 / 5.5])
    assert found.unmeasured == frozenset()


def test_a_round_in_which_nobody_was_measured_teaches_nothing():
    assert learned_by_round({}) == Beliefs(dict.fromkeys(BOTH, SLOW), SERVER)


@given(cuts)
def test_client_and_server_share_the_work_of_both_networks(cut):
    problem = problem_of(Device(name="d", gflops=1, mbit_per_s=1))
    own = problem.demands.gflop[problem.cuts.index(cut)]
    whole = problem.costs.generator.total_gflop() + problem.costs.discriminator.total_gflop()
    assert own + server_gflop(problem.costs, cut) == pytest.approx(whole)
