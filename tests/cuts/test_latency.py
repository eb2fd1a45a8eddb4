from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.cuts import CutProblem, LatencyOptions, deal, load_devices
from huscf_flwr.models import NETWORKS, Cut, load_model_spec
from huscf_flwr.session import SentBytes
from tests.cuts.instances import problems
from tests.cuts.step_simulation import simulate_step

LIGHTEST, HEAVIEST = Cut(1, 1, 1, 1), Cut(2, 2, 2, 2)


def paper_problem(clients, **changes):
    profiles = load_devices("paper")
    spec = load_model_spec("authors-28")
    problem = CutProblem(spec, deal(profiles.devices, clients), profiles.server, 64, "paper")
    return replace(problem, **changes)


@st.composite
def assigned_problems(draw):
    problem = draw(problems(most_clients=6))
    return problem, [draw(st.sampled_from(problem.cuts)) for _ in problem.devices]


@pytest.mark.parametrize(
    ("clients", "lightest_s", "heaviest_s"),
    [(40, 8.257, 194.703), (80, 14.021, 195.531), (100, 16.903, 195.946)],
)
def test_figures_of_the_authors_model(clients, lightest_s, heaviest_s):
    problem = paper_problem(clients)
    assert problem.latency([LIGHTEST] * clients) == pytest.approx(lightest_s, abs=5e-4)
    assert problem.latency([HEAVIEST] * clients) == pytest.approx(heaviest_s, abs=5e-4)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(assigned_problems())
def test_equals_a_discrete_event_simulation_of_the_step(assigned):
    problem, cuts = assigned
    assert problem.latency(cuts) == pytest.approx(simulate_step(problem, cuts), rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(assigned_problems())
def test_stages_add_up_to_the_latency(assigned):
    problem, cuts = assigned
    seconds = sum(stage.seconds for stage in problem.model.stages(cuts))
    assert seconds == pytest.approx(problem.latency(cuts), rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(problems(), st.randoms(use_true_random=False))
def test_a_population_is_as_long_as_its_members_one_by_one(problem, random):
    population = [[random.choice(problem.cuts) for _ in problem.devices] for _ in range(7)]
    together = problem.model.latency(np.array(population))
    assert together == pytest.approx([problem.latency(cuts) for cuts in population], rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(problems(), st.randoms(use_true_random=False))
def test_classes_stand_for_their_clients(problem, random):
    by_class = np.array([random.randrange(len(problem.cuts)) for _ in problem.classes])
    of_classes = problem.class_model.latency(problem.cut_table[by_class][None])[0]
    assert of_classes == pytest.approx(problem.latency(problem.cuts_by_class(by_class)), rel=1e-12)


def test_by_hand_with_one_client():
    """One client waits only for itself and the server: all work and all transfers add up."""
    problem = paper_problem(1)
    costs, device, server = problem.costs, problem.devices[0], problem.server
    expected = 0.0
    for of_network in (costs.generator, costs.discriminator):
        edge = [0, 4]
        client = of_network.client_forward_gflop[edge] + of_network.client_backward_gflop[edge]
        body = of_network.server_forward_gflop[1:4] + of_network.server_backward_gflop[1:4]
        crossing = of_network.forward_bytes[0] + of_network.forward_bytes[3]
        expected += client.sum() / device.gflops + body.sum() / server.gflops
        expected += crossing / 50e6 + crossing / 1e9
    assert problem.latency([LIGHTEST]) == pytest.approx(expected, rel=1e-12)


def test_packed_numbers_cross_sooner_and_cost_both_ends_their_time_to_pack_them():
    """By hand, of one client with the lightest cut: half of 20 ns a number, and of the server's 30."""
    sent = SentBytes(activation=0.5, generated=0.4, repeated=0.1, gradient=0.3, packing=0.5)
    plain = paper_problem(1)
    measured = tuple(device.model_copy(update={"packing_ns": 20.0}) for device in plain.devices)
    plain = replace(plain, devices=measured, server=plain.server.model_copy(update={"packing_ns": 30.0}))
    packed = replace(plain, sent=sent)
    device, costs = plain.devices[0], packed.costs
    up, down = 1 / device.upload_bytes_per_s, 1 / plain.server.bytes_per_s
    saved = 0.0
    for network in ("generator", "discriminator"):
        before, after = plain.costs.network(network), costs.network(network)
        forward = before.forward_bytes - after.forward_bytes
        backward = before.backward_bytes - after.backward_bytes
        saved += up * (forward[0] + backward[3]) + down * (backward[0] + forward[3])
        saved -= 2 * 50e-9 * (after.packed_numbers[0] + after.packed_numbers[3])
    assert plain.latency([LIGHTEST]) - packed.latency([LIGHTEST]) == pytest.approx(saved, rel=1e-9)


def test_each_stage_names_the_device_that_all_wait_for():
    cuts = [LIGHTEST] * 6 + [HEAVIEST]
    stages = {stage.name: stage for stage in paper_problem(7).model.stages(cuts)}
    assert stages["generator head forward"].waits_for == "d1"
    assert stages["generator middle forward"].waits_for == "server"
    assert len(stages) == 12


def test_client_seconds_are_work_and_transfers_without_waiting():
    problem = paper_problem(2)
    compute, link = problem.model.client_seconds([LIGHTEST, HEAVIEST])
    costs = problem.costs
    kept = [
        of_network.client_forward_gflop[[0, 4]].sum() + of_network.client_backward_gflop[[0, 4]].sum()
        for of_network in (costs.generator, costs.discriminator)
    ]
    assert compute[0] == pytest.approx(sum(kept) / 0.48)
    crossing = costs.generator.forward_bytes[[1, 2]].sum() + costs.discriminator.forward_bytes[[1, 2]].sum()
    assert link[1] == pytest.approx(crossing / 150e6 + crossing / 1e9)


def test_packing_is_timed_with_the_transfers_at_both_ends_and_on_both_ways():
    plain = paper_problem(2)
    packed = replace(plain, sent=SentBytes(packing=0.5))
    (compute, before), (same, after) = (each.model.client_seconds([LIGHTEST] * 2) for each in (plain, packed))
    numbers = sum(packed.costs.network(name).packed_numbers[[0, 3]].sum() for name in NETWORKS)
    each_s = [device.packing_s + 2 * plain.server.packing_s for device in plain.devices]
    assert same == pytest.approx(compute)
    assert after - before == pytest.approx(2 * numbers * np.array(each_s))


def test_a_shared_server_link_divides_the_servers_rate():
    alone = paper_problem(10, options=LatencyOptions(server_link_shared=True))
    slower_server = alone.server.model_copy(update={"mbit_per_s": 800.0})
    devices = tuple(
        device.model_copy(update={"mbit_per_s": min(800.0, device.mbit_per_s)}) for device in alone.devices
    )
    unshared = replace(alone, options=LatencyOptions(), server=slower_server, devices=devices)
    assert alone.latency([LIGHTEST] * 10) == pytest.approx(unshared.latency([LIGHTEST] * 10), rel=1e-12)


def test_segments_once_a_round_add_the_slowest_clients_transfer():
    plain = paper_problem(3)
    every_20 = replace(plain, options=LatencyOptions(steps_per_round=20))
    cuts = [HEAVIEST, LIGHTEST, LIGHTEST]
    parameters = sum(
        plain.costs.network(name).parameters[[0, 1, 3, 4]].sum() for name in ("generator", "discriminator")
    )
    added = 4 * parameters * (1 / 50e6 + 1 / 1e9) / 20
    packed = replace(every_20, sent=SentBytes(upload=1.0))
    assert packed.latency(cuts) - plain.latency(cuts) == pytest.approx(
        parameters * (1 / 50e6 + 4 / 1e9) / 20, rel=1e-9
    )
    assert every_20.latency(cuts) - plain.latency(cuts) == pytest.approx(added, rel=1e-9)
    last = every_20.model.stages(cuts)[-1]
    assert (last.name, last.waits_for) == ("segments of a round", "d1")
    assert last.seconds == pytest.approx(added, rel=1e-9)


def test_options_are_stated_when_they_are_on():
    assert LatencyOptions().described() == ()
    both = LatencyOptions(server_link_shared=True, steps_per_round=20).described()
    assert len(both) == 2
    assert "20 steps" in both[1]


def test_a_round_without_steps_is_refused():
    with pytest.raises(ValueError, match="steps_per_round is 0"):
        LatencyOptions(steps_per_round=0)


def test_a_server_that_packs_for_more_clients_needs_longer_for_each():
    """Of equal clients with equal cuts, so that what it does for all of them is exact."""
    sent = SentBytes(activation=0.5, generated=0.4, repeated=0.1, gradient=0.3, packing=0.5)

    def seconds(clients, packing_ns):
        device = paper_problem(1).devices[0]
        problem = replace(paper_problem(1), devices=(device,) * clients, sent=sent)
        server = problem.server.model_copy(update={"packing_ns": packing_ns})
        return replace(problem, server=server).latency([LIGHTEST] * clients)

    one, three = (seconds(clients, 120.0) - seconds(clients, 20.0) for clients in (1, 3))
    assert three == pytest.approx(3 * one, rel=1e-9)


def test_six_exchanges_cost_six_round_trips():
    plain = paper_problem(1)
    far = replace(plain, devices=tuple(each.model_copy(update={"delay_ms": 20.0}) for each in plain.devices))
    for cut in (LIGHTEST, HEAVIEST):
        assert far.latency([cut]) - plain.latency([cut]) == pytest.approx(6 * 2 * 0.020)


def test_a_whole_discriminator_on_the_client_leaves_two_round_trips():
    plain = replace(paper_problem(1), local_discriminator=True)
    far = replace(plain, devices=tuple(each.model_copy(update={"delay_ms": 20.0}) for each in plain.devices))
    cut = plain.cuts[0]
    assert far.latency([cut]) - plain.latency([cut]) == pytest.approx(2 * 2 * 0.020)
