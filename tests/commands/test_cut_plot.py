import pytest

from huscf_flwr.commands.cut_plot import draw_latency, latency_curves
from huscf_flwr.cuts import ExactSolver, load_devices
from tests.cuts.test_latency import paper_problem


def test_curves_end_at_the_asked_number_of_clients():
    problem = paper_problem(80)
    counts, curves = latency_curves(problem, load_devices("paper").devices, ExactSolver(), seed=0)
    assert counts[0] == 1
    assert counts[-1] == 80
    assert curves["cuts by exact"][-1] == pytest.approx(7.0025, abs=5e-5)
    assert curves["lightest cut everywhere"][-1] == pytest.approx(14.021, abs=5e-4)
    assert curves["full networks on the client"][-1] == pytest.approx(234.0, abs=0.05)
    assert {len(seconds) for seconds in curves.values()} == {len(counts)}


@pytest.mark.slow
def test_a_picture_of_each_kind_is_written(tmp_path):
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        path = tmp_path / f"latency{suffix}"
        draw_latency([1, 2], {"one": [1.0, 2.0]}, path)
        assert path.read_bytes().startswith(start)


def test_an_unknown_kind_of_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nonsense"):
        draw_latency([1], {"one": [1.0]}, tmp_path / "latency.nonsense")
