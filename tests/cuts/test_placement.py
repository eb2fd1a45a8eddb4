from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.cuts import CutProblem, LatencyOptions, Placement, Server, Turn, priced, priced_cuts
from huscf_flwr.cuts.baselines import server_generator_turn
from huscf_flwr.cuts.devices import Device
from huscf_flwr.cuts.placement import (
    images_bytes,
    network_bytes,
    network_gflop,
    pass_gflop,
    way_back_gflop,
    whole_networks,
)
from huscf_flwr.models import NETWORKS, initial_states, largest_cut, legal_cuts, load_model_spec
from huscf_flwr.session import SentBytes

SPEC = load_model_spec("authors-28", 0.25)
SERVER = Server(gflops=100.0, mbit_per_s=800.0)
SLOW = Device(name="slow", gflops=2.0, mbit_per_s=8.0, download_mbit_per_s=16.0)
QUICK = Device(name="quick", gflops=10.0, mbit_per_s=80.0)


def problem(*devices, steps=None, flops="exact"):
    return CutProblem(SPEC, devices, SERVER, 32, flops, LatencyOptions(steps_per_round=steps))


def test_a_turn_by_hand():
    """The slow client: 20 / 2 s, 4 MB down at 2 MB/s, 3 MB up at 1 MB/s; the quick one has long finished."""
    turn = Turn(server_gflop=50.0, down_bytes=4e6, client_gflop=20.0, up_bytes=3e6)
    price = priced(Placement(step=(turn,)), problem(SLOW, QUICK))
    assert price.step_s == pytest.approx(0.5 + 10.0 + 2.0 + 3.0)
    assert (price.client_gflop, price.server_gflop) == (20.0, 50.0)


def test_packed_numbers_cost_the_client_its_time_and_the_server_that_of_all_its_clients():
    """By hand: half a million numbers, at 2 us there and at 0.5 us for each of two clients."""
    slow = SLOW.model_copy(update={"packing_ns": 2000.0})
    of_two = replace(problem(slow, QUICK), server=SERVER.model_copy(update={"packing_ns": 500.0}))
    price = priced(Placement(step=(Turn(packed_numbers=5e5),)), of_two)
    assert price.step_s == pytest.approx(5e5 * (2e-6 + 2 * 0.5e-6))


@pytest.mark.parametrize("batches", [1, 2])
def test_images_and_gradients_at_them_are_packed(batches):
    narrow = replace(problem(SLOW), sent=SentBytes(packing=0.25))
    turn = server_generator_turn(narrow, 1, batches_down=batches)
    assert turn.packed_numbers == 0.25 * (batches + 1) * 32 * 28 * 28
    assert server_generator_turn(problem(SLOW), 1, batches_down=batches).packed_numbers == 0


def test_each_way_on_which_anything_is_sent_costs_a_delay():
    far = SLOW.model_copy(update={"delay_ms": 250.0})
    there, both = Turn(down_bytes=2e6), Turn(down_bytes=2e6, up_bytes=1e6)
    prices = [priced(Placement(step=(turn,)), problem(far)) for turn in (there, both, Turn())]
    assert [price.step_s for price in prices] == pytest.approx([1.25, 2.5, 0.0])


def test_the_servers_link_bounds_a_download_without_one_of_its_own():
    price = priced(Placement(step=(Turn(down_bytes=1e8),)), problem(QUICK))
    assert price.step_s == pytest.approx(1.0)


def test_turns_follow_each_other_and_each_waits_for_its_slowest():
    down, up = Turn(down_bytes=2e6), Turn(client_gflop=6.0)
    both, once = priced(Placement(step=(down, up)), problem(SLOW, QUICK)), Turn(up_bytes=1e6)
    assert both.step_s == pytest.approx(1.0 + 3.0)
    spread = priced(Placement(step=(down, up), once_a_round=once), problem(SLOW, QUICK, steps=4))
    assert spread.step_s == pytest.approx(both.step_s + 0.25)
    left_out = priced(Placement(step=(down, up), once_a_round=once), problem(SLOW, QUICK))
    assert left_out == both


def test_what_is_computed_once_a_round_is_spread_over_its_steps():
    once = Turn(server_gflop=200.0, client_gflop=8.0)
    price = priced(Placement(step=(), once_a_round=once), problem(SLOW, steps=10))
    assert (price.client_gflop, price.server_gflop) == (0.8, 20.0)
    assert price.step_s == pytest.approx((2.0 + 4.0) / 10)


def test_sizes_are_those_of_the_networks():
    states = initial_states(SPEC, seed=0, dtype=torch.float32)
    for networks in (("generator",), ("discriminator",), ()):
        learned = sum(
            tensor.numel()
            for (network, _), state in states.items()
            for name, tensor in state.items()
            if network in (networks or NETWORKS) and "running" not in name and "num_batches" not in name
        )
        assert network_bytes(problem(SLOW), *networks) == 4 * learned
    assert images_bytes(problem(SLOW)) == 4 * 32 * 28 * 28


@given(st.integers(1, 4), st.integers(1, 50))
def test_the_exchange_of_whole_networks_costs_the_slowest_its_link(clients, steps):
    devices = [SLOW] + [QUICK] * (clients - 1)
    priced_problem = problem(*devices, steps=steps)
    stays = priced(whole_networks(priced_problem, sent=False), priced_problem)
    sent = priced(whole_networks(priced_problem, sent=True), priced_problem)
    assert stays.step_s == pytest.approx(stays.client_gflop / SLOW.gflops)
    seconds = network_bytes(priced_problem) * (1 / 1e6 + 1 / 2e6)
    assert sent.step_s - stays.step_s == pytest.approx(seconds / steps)


def test_packed_uploads_are_cheaper_up_and_not_down():
    narrow = replace(problem(SLOW, steps=10), sent=SentBytes(upload=1.0))
    weights = network_bytes(narrow) / 4
    assert network_bytes(narrow, up=True) == weights
    price = priced(whole_networks(narrow, sent=True), narrow)
    stays = priced(whole_networks(narrow, sent=False), narrow)
    assert price.step_s - stays.step_s == pytest.approx(weights * (1 / 1e6 + 4 / 2e6) / 10)


@pytest.mark.parametrize("cut", [legal_cuts(SPEC)[0], largest_cut(SPEC)])
def test_clients_and_server_share_the_arithmetic_of_all_clients(cut):
    """By the exact rule nothing is lost or counted twice."""
    priced_problem = problem(SLOW, QUICK, QUICK)
    price = priced_cuts([cut, cut, largest_cut(SPEC)], priced_problem)
    whole = sum(network_gflop(priced_problem, network) for network in NETWORKS)
    assert 3 * price.client_gflop + price.server_gflop == pytest.approx(3 * whole)
    assert price.step_s == priced_problem.latency([cut, cut, largest_cut(SPEC)])


def test_a_heavier_cut_moves_arithmetic_to_the_client():
    cuts = legal_cuts(SPEC)
    prices = [priced_cuts([cut], problem(SLOW)) for cut in (cuts[0], cuts[-1])]
    assert prices[0].client_gflop < prices[1].client_gflop
    assert prices[0].server_gflop > prices[1].server_gflop
    assert np.isfinite([price.step_s for price in prices]).all()


@pytest.mark.parametrize("flops", ["exact", "paper"])
def test_the_passes_of_a_step_are_what_the_networks_cost(flops):
    """The generator makes one pass; the discriminator two that learn, and one that is frozen."""
    of = problem(SLOW, flops=flops)
    assert pass_gflop(of, "generator") == pytest.approx(network_gflop(of, "generator"))
    passes = 2 * pass_gflop(of, "discriminator") + pass_gflop(of, "discriminator", frozen=True)
    assert passes == pytest.approx(network_gflop(of, "discriminator"))
    forward = pass_gflop(of, "discriminator", frozen=True) - way_back_gflop(of, "discriminator")
    assert forward > 0
