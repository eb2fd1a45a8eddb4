import pytest

from huscf_flwr.bench import rehearsal
from huscf_flwr.bench.rehearsal import RehearsedStep, measured_step_seconds, varied_assignments
from huscf_flwr.cuts import CutProblem, Device, Server, load_devices
from huscf_flwr.models import Cut, largest_cut, load_model_spec
from huscf_flwr.session import sent_bytes_by

SPEC = load_model_spec("authors-28", 0.02)


def problem_of(mbit_per_s, preset="exact", packing_ns=1.0):
    links = {"mbit_per_s": mbit_per_s, "download_mbit_per_s": mbit_per_s}
    device = Device(name="slow", gflops=1000, packing_ns=packing_ns, **links)
    server = Server(gflops=1, mbit_per_s=1000, packing_ns=1e-3)
    return CutProblem(SPEC, (device,) * 2, server, 2, sent=sent_bytes_by(preset))


@pytest.mark.parametrize(
    ("mbit_per_s", "preset", "packing_ns"),
    [(2.0, "exact", 1.0), (1000.0, "smallest", 2e4), (1000.0, "half", 5e4)],
)
def test_a_step_lasts_at_least_as_long_as_the_links_need_and_the_devices_to_pack(
    mbit_per_s, preset, packing_ns
):
    problem, cuts = problem_of(mbit_per_s, preset, packing_ns), [Cut(), Cut()]
    _, link_s = problem.model.client_seconds(cuts)
    assert link_s.max() > 0.05
    assert measured_step_seconds(problem, cuts, 1.0, 2, preset) >= 0.99 * link_s.max()


def test_assignments_vary_all_parts_and_have_the_optimum():
    problem = problem_of(1.0)
    assignments = varied_assignments(problem)
    assert {tuple(cuts) for cuts in assignments.values()} >= {(Cut(),) * 2, (largest_cut(SPEC),) * 2}
    for part in range(4):
        assert {cuts[0][part] for cuts in assignments.values()} == {1, 2}
    assert problem.latency(assignments["optimum"]) == min(map(problem.latency, assignments.values()))


def test_the_error_is_a_share_of_what_was_measured():
    assert RehearsedStep("any", counted_s=1.0, predicted_s=1.5, measured_s=2.0).error == -0.25


def test_every_assignment_is_predicted_and_measured(monkeypatch):
    """The links and the speed of this machine are left out."""
    monkeypatch.setattr(
        rehearsal, "measured_step_seconds", lambda problem, cuts, gflops, steps, preset: sum(cuts[0])
    )
    assignments = varied_assignments(problem_of(1.0))
    rehearsed = rehearsal.rehearse(problem_of(1.0), assignments, steps=1)
    assert {step.name: step.measured_s for step in rehearsed} == {
        name: sum(cuts[0]) for name, cuts in assignments.items()
    }
    assert all(step.predicted_s > 0 and step.counted_s > 0 for step in rehearsed)


def test_the_slow_devices_are_slower_than_any_machine_that_emulates_them():
    assert max(device.gflops for device in load_devices("slow").devices) <= 4
