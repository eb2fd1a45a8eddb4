import pytest

from huscf_flwr.config import PRESETS
from huscf_flwr.cuts import deal_devices
from huscf_flwr.evaluation.report import report_page
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.huscf.cut_choice import choose_cuts
from huscf_flwr.models import model_spec_of
from huscf_flwr.run.check import check_run
from huscf_flwr.run.checkpoint import CheckpointError, read_checkpoint
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.wire_choice import chosen_wire
from tests.run.builders import METHODS, UNJUDGED, SilentDisplay, small_run, write_domains

AUTO = {"wire.preset": "auto"}


@pytest.fixture
def make(tmp_path):
    write_domains(tmp_path)
    return lambda **settings: small_run(tmp_path, tmp_path, **settings)


def devices(place, mbit_per_s, packing_ns):
    path = place / "devices.yaml"
    path.write_text(
        f"server: {{gflops: 50, mbit_per_s: 1e9, packing_ns: {packing_ns}}}\n"
        f"devices:\n  - {{name: board, gflops: 10, mbit_per_s: {mbit_per_s}, packing_ns: {packing_ns}}}\n"
    )
    return {"cuts.devices": path}


def choice_of(config):
    config = resolved(config)
    return chosen_wire(config, method_of(config), deal_devices(config))


@pytest.mark.parametrize("method", ["huscf", "mdgan", "uagan", "fsgan"])
@pytest.mark.parametrize(
    ("mbit_per_s", "packing_ns", "preset"),
    [(0.1, 20, "smallest"), (1e9, 20, "exact"), (10, 1e6, "exact"), (10, 250, "half")],
)
def test_a_slow_link_is_worth_packing_for_and_a_fast_one_is_not(
    make, tmp_path, method, mbit_per_s, packing_ns, preset
):
    config, choice = choice_of(
        make(**AUTO, **METHODS.get(method, {}), **devices(tmp_path, mbit_per_s, packing_ns))
    )
    assert (config.wire.preset, choice.preset) == (preset, preset)
    assert set(choice.step_s) == set(PRESETS)


def test_each_preset_is_priced_with_the_cuts_that_are_best_for_it(make):
    """As long as nothing but the step of a round's clients is predicted, fewer of them than all."""
    config = make(**AUTO, fraction_train=0.5, min_train_clients=2)
    _, choice = choice_of(config)
    for preset in PRESETS:
        alone = config.with_preset(preset)
        solution = choose_cuts(alone, model_spec_of(alone), deal_devices(alone))
        assert choice.step_s[preset] == pytest.approx(solution.latency_s)


def test_where_half_saves_nothing_it_is_no_choice(make):
    _, choice = choice_of(make(**AUTO, **{"compute.precision": "bfloat16"}))
    assert set(choice.step_s) == set(PRESETS) - {"half"}


def test_a_method_without_sessions_crosses_exactly(make):
    config, choice = choice_of(make(**AUTO, **METHODS["fedgan"]))
    assert config.wire.preset == "exact"
    assert "no session" in choice.told()


def test_a_lock_step_method_of_which_nobody_has_said_what_it_costs_is_refused(make):
    config = resolved(make(**AUTO))
    priceless = type("Priceless", (method_of(config),), {"price": classmethod(lambda *_: None)})
    with pytest.raises(ValueError, match=r"wire\.preset is auto, but Priceless\.price says nothing"):
        chosen_wire(config, priceless, deal_devices(config))


def test_what_has_been_set_is_left_alone(make):
    config = make(**{"wire.preset": "small"})
    assert choice_of(config) == (resolved(config), None)


def test_a_session_is_not_begun_before_the_choice(make):
    with pytest.raises(ValueError, match="nothing has been chosen yet"):
        _ = make(**AUTO).wire.chosen


def test_a_run_tells_its_choice_keeps_it_and_goes_on_with_it(make, tmp_path):
    slow = devices(tmp_path, 0.1, 20)
    common = {**AUTO, **UNJUDGED, "name": "first"}
    summary = train_locally(make(rounds=1, **common, **slow), display=SilentDisplay())
    assert summary["wire"]["preset"] == "smallest"
    assert "exact" in summary["wire"]["reason"]
    first = tmp_path / "first"
    record = read_run(first)
    assert record.config["wire"]["preset"] == "smallest"
    assert "wire.preset: auto is smallest" in report_page(record)
    assert read_checkpoint(first).preset == "smallest"
    again = check_run(make(rounds=2, resume=first, **common, **slow))
    assert again.config.wire.preset == "smallest"
    assert again.wire.is_kept
    assert again.asked.wire.preset == "auto"
    with pytest.raises(CheckpointError, match=r"wire\.preset"):
        check_run(make(rounds=2, resume=first, **{**common, "wire.preset": "small"}, **slow))
