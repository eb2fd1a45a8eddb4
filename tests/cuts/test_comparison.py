from dataclasses import replace

import pytest

from huscf_flwr.cuts import ExactSolver, FixedCuts, NoLegalCutError, load_devices
from huscf_flwr.cuts.baselines import discriminator_on_client, full_networks_on_client
from huscf_flwr.cuts.comparison import compare, without_slowest_class
from tests.cuts.test_latency import paper_problem


def limited(problem, **limits):
    devices = tuple(device.model_copy(update=limits) for device in problem.devices)
    return replace(problem, devices=devices)


def test_baselines_cost_what_was_derived_for_the_paper():
    """112.32 and 21.61 GFLOP on d1, and 0.135 s of server for each of k generator batches."""
    problem = paper_problem(80)
    assert full_networks_on_client(problem) == pytest.approx(234.0, abs=0.05)
    assert discriminator_on_client(problem, 1) == pytest.approx(45.2, abs=0.05)
    assert discriminator_on_client(problem, 80) == pytest.approx(55.8, abs=0.05)


def test_comparison_with_and_without_the_slowest_class():
    problem = paper_problem(80)
    rest = without_slowest_class(problem, load_devices("paper"))
    lines = {line.name: line for line in compare(problem, rest, [ExactSolver(), FixedCuts()], seed=0)}
    assert lines["exact"].latency_s == pytest.approx(7.0025, abs=5e-5)
    assert lines["exact"].without_slowest_s == pytest.approx(4.51, abs=5e-3)
    assert lines["full networks on the client"].without_slowest_s == pytest.approx(7.02, abs=5e-3)
    assert lines["discriminator only, 1 server batch"].without_slowest_s == pytest.approx(1.5, abs=0.05)
    assert lines["discriminator only, 80 server batches"].without_slowest_s == pytest.approx(12.2, abs=0.05)
    assert lines["fixed"].solution is not None
    assert lines["full networks on the client"].solution is None


def test_a_single_class_has_no_rest():
    profiles = load_devices("paper")
    only = profiles.model_copy(update={"devices": profiles.devices[:1]})
    problem = paper_problem(1)
    assert without_slowest_class(problem, only) is None
    (line, *_) = compare(problem, None, [ExactSolver()], seed=0)
    assert line.without_slowest_s is None


def test_a_forbidden_fixed_cut_leaves_its_line_empty():
    problem = limited(paper_problem(7), least_discriminator_head=2)
    exact, fixed, *_ = compare(problem, None, [ExactSolver(), FixedCuts()], seed=0)
    assert exact.latency_s is not None
    assert (fixed.latency_s, fixed.solution) == (None, None)


def test_a_device_without_a_legal_cut_is_an_error():
    with pytest.raises(NoLegalCutError, match="memory_mib = 1"):
        compare(limited(paper_problem(7), memory_mib=1.0), None, [FixedCuts()], seed=0)
