import re
from dataclasses import replace

import pytest

from huscf_flwr.cuts import CutProblem, Device, NoLegalCutError, Server
from huscf_flwr.models import Cut, load_model_spec

SERVER = Server(gflops=100, mbit_per_s=1000)
PLAIN = Device(name="board", gflops=1, mbit_per_s=100)


def problem_of(device):
    return CutProblem(load_model_spec("authors-28"), (device,), SERVER, 64, "exact")


def allowed_cuts(**limits):
    problem = problem_of(PLAIN.model_copy(update=limits))
    return {cut for cut, fits in zip(problem.cuts, problem.allowed[0], strict=True) if fits}


def test_without_limits_every_cut_is_allowed():
    assert allowed_cuts() == set(problem_of(PLAIN).cuts)


def test_memory_counts_weights_four_times_and_kept_activations():
    """The discriminator keeps the activations of two passes, fakes and reals."""
    problem = problem_of(PLAIN)
    values = 0.0
    for name, passes in (("generator", 1), ("discriminator", 2)):
        blocks = problem.spec.network(name).blocks
        for index in (0, 4):
            outputs = problem.costs.network(name).forward_bytes[index] / {1: 1, 2: 3}[passes] / 4
            layers = 1 + (blocks[index].norm != "none") + (blocks[index].activation != "none")
            values += 4 * problem.costs.network(name).parameters[index] + passes * outputs * layers
    lightest = problem.demands.memory_mib[problem.cuts.index(Cut())]
    assert lightest == pytest.approx(4 * values / 2**20)


def test_memory_allows_what_fits():
    problem = problem_of(PLAIN)
    needs = dict(zip(problem.cuts, problem.demands.memory_mib, strict=True))
    middling = sorted(needs.values())[7]
    assert allowed_cuts(memory_mib=middling) == {cut for cut, need in needs.items() if need <= middling}


def test_energy_is_work_and_traffic():
    device = PLAIN.model_copy(update={"joule_per_gflop": 2.0, "joule_per_megabyte": 3.0})
    problem = problem_of(device)
    index = problem.cuts.index(Cut(2, 1, 1, 1))
    costs = problem.costs
    kept = {"generator": [0, 1, 4], "discriminator": [0, 4]}
    gflop = sum(
        (costs.network(name).client_forward_gflop + costs.network(name).client_backward_gflop)[blocks].sum()
        for name, blocks in kept.items()
    )
    crossing = 2 * (
        costs.generator.forward_bytes[[1, 3]].sum() + costs.discriminator.forward_bytes[[0, 3]].sum()
    )
    joule = problem.demands.energy_joule(device)[index]
    assert joule == pytest.approx(2 * gflop + 3 * crossing / 1e6)
    limited = device.model_copy(update={"energy_joule_per_step": float(joule) * 0.999})
    assert not problem_of(limited).allowed[0, index]


def test_the_privacy_floor_forbids_short_discriminator_heads():
    assert allowed_cuts(least_discriminator_head=2) == {
        cut for cut in problem_of(PLAIN).cuts if cut.discriminator_head >= 2
    }


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"memory_mib": 1.0}, "memory_mib = 1"),
        ({"energy_joule_per_step": 1e-6, "joule_per_gflop": 1.0}, "energy_joule_per_step = 1e-06"),
        ({"least_discriminator_head": 3}, "least_discriminator_head = 3"),
    ],
)
def test_no_legal_cut_names_the_device_and_the_limit(limits, named):
    with pytest.raises(NoLegalCutError, match=f"device board.*{re.escape(named)}"):
        _ = problem_of(PLAIN.model_copy(update=limits)).allowed


def test_limits_that_only_clash_together_are_named_together():
    needs = problem_of(PLAIN).demands.memory_mib
    clashing = {"memory_mib": float(needs.min()), "least_discriminator_head": 2}
    with pytest.raises(NoLegalCutError, match=r"memory_mib = .* and least_discriminator_head = 2 together"):
        allowed_cuts(**clashing)


def test_a_floor_keeps_the_parts_independent_and_memory_couples_them():
    floor = problem_of(PLAIN.model_copy(update={"least_discriminator_head": 2}))
    assert floor.parts_are_independent
    needs = sorted(floor.demands.memory_mib)
    coupled = problem_of(PLAIN.model_copy(update={"memory_mib": needs[9]}))
    assert not coupled.parts_are_independent


def test_a_problem_needs_clients():
    with pytest.raises(ValueError, match="no clients"):
        replace(problem_of(PLAIN), devices=())
