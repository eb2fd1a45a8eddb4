import json

import pytest

from huscf_flwr.cuts import ExactSolver, GreedySearch, NoLegalCutError, deal_devices, load_devices
from huscf_flwr.methods.huscf.cut_choice import (
    CutReselection,
    check_cuts,
    choose_cuts,
    cut_problem,
    declared,
    share_in_a_round,
)
from huscf_flwr.models import Cut, legal_cuts, model_spec_of
from huscf_flwr.run.check import check_run
from huscf_flwr.session import StepTimes
from tests.run.builders import descriptions, small_run, write_domains


@pytest.fixture
def make(tmp_path):
    return lambda **settings: small_run(tmp_path, tmp_path, **settings)


def solve(config, **arguments):
    return choose_cuts(config, model_spec_of(config), deal_devices(config), **arguments)


def test_devices_are_dealt_in_turn_whatever_the_seed(make):
    profiles = load_devices("paper").devices
    dealt = deal_devices(make(clients=9))
    assert dealt == {client: profiles[client % 7] for client in range(9)}
    assert deal_devices(make(clients=9, seed=1)) == dealt


@pytest.mark.parametrize("solver", ["greedy", "exact"])
def test_every_client_gets_a_legal_cut_from_the_solver_that_is_named(make, solver):
    config = make(clients=8, **{"cuts.solver": solver})
    solution = solve(config)
    assert solution.solver == solver
    assert len(solution.cuts) == 8
    assert set(solution.cuts) <= set(legal_cuts(model_spec_of(config)))


def test_a_fixed_cut_is_everybodys(make):
    solution = solve(make(**{"cuts.solver": "fixed", "cuts.fixed": "2,1,1,2"}))
    assert solution.cuts == (Cut(2, 1, 1, 2),) * 4


def test_a_solver_that_is_given_takes_the_configured_ones_place(make):
    assert solve(make(**{"cuts.solver": "greedy"}), solver=ExactSolver()).solver == "exact"


def test_the_rule_that_counts_work_is_the_configured_one(make):
    """The paper counts a transposed convolution of stride 2 four times over: slower predictions."""
    fixed = {"cuts.solver": "fixed", "cuts.fixed": "2,2,2,2"}
    exact, paper = (solve(make(**fixed, **{"cuts.flops": rule})).latency_s for rule in ("exact", "paper"))
    assert paper > exact


def test_a_narrower_wire_is_predicted_to_be_faster(make, tmp_path):
    fixed = {"cuts.solver": "fixed", "cuts.fixed": "1,1,1,1"}
    fixed["cuts.devices"] = device_file(tmp_path, ", packing_ns: 20")
    as_computed, half, bfloat16 = (
        solve(make(**fixed, **settings)).latency_s
        for settings in ({}, {"wire.preset": "half"}, {"compute.precision": "bfloat16"})
    )
    assert bfloat16 < half < as_computed  # as many bytes, but nothing to convert


def test_what_is_believed_goes_through_a_checkpoint(make):
    config = make()
    saved, loaded = (CutReselection(config, model_spec_of(config), deal_devices(config)) for _ in range(2))
    saved.learn(dict.fromkeys(range(4), Cut(1, 1, 1, 1)), {0: StepTimes(1.0, 1.0)}, 1.0)
    loaded.load_state(json.loads(json.dumps(saved.state())))
    assert loaded.beliefs == saved.beliefs
    assert loaded.beliefs.unmeasured == {1, 2, 3}


def check(config):
    check_cuts(config, model_spec_of(config), deal_devices(config))


def device_file(place, device):
    path = place / "devices.yaml"
    server = "{name: server, gflops: 50, mbit_per_s: 100}"
    path.write_text(f"server: {server}\ndevices:\n  - {{name: board, gflops: 1, mbit_per_s: 10{device}}}\n")
    return path


@pytest.mark.parametrize("solver", ["exact", "genetic", "greedy", "fixed"])
def test_what_can_be_chosen_is_checked_without_choosing(make, tmp_path, solver):
    settings = {"cuts.solver": solver, **({"cuts.fixed": "1,1,1,1"} if solver == "fixed" else {})}
    check(make(**settings))
    too_small = make(**settings, **{"cuts.devices": device_file(tmp_path, ", memory_mib: 0.001")})
    with pytest.raises(NoLegalCutError, match=r"device board.*memory_mib"):
        check(too_small)


def test_a_fixed_cut_is_checked(make):
    with pytest.raises(ValueError, match=r"cuts\.fixed"):
        check(make(**{"cuts.solver": "fixed"}))
    with pytest.raises(ValueError, match="generator_tail keeps 3 blocks"):
        check(make(**{"cuts.solver": "fixed", "cuts.fixed": "1,3,1,1"}))


def test_a_run_that_is_checked_and_begun_solves_for_its_cuts_once(make, tmp_path, monkeypatch):
    write_domains(tmp_path)
    solved, solve_it = [], GreedySearch.solve

    def solve(self, problem, *, seed):
        solved.append(problem)
        return solve_it(self, problem, seed=seed)

    monkeypatch.setattr(GreedySearch, "solve", solve)
    checked = check_run(make(**{"cuts.solver": "greedy"}))
    assert solved == []
    method = checked.method(checked.config, descriptions(dict.fromkeys(range(4), 9)))
    assert len(solved) == 1
    assert method.predicted_step_s() == method.cuts.solution.latency_s


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 1),
        ({"fraction_train": 0.5}, 0.5),
        ({"fraction_train": 0.74}, 0.5),  # of four clients, rounded down
        ({"fraction_train": 0.1}, 0.25),
        ({"fraction_train": 0.1, "min_train_clients": 3}, 0.75),
        ({"fraction_train": 0.1, "min_train_clients": 9}, 1),
    ],
)
def test_a_round_has_a_share_of_the_clients(make, settings, share):
    assert share_in_a_round(make(**settings), 4) == share


def test_where_all_clients_are_in_each_round_the_server_is_as_it_is_believed(make):
    config = make()
    beliefs = declared(config, deal_devices(config))
    assert cut_problem(config, model_spec_of(config), beliefs).server == beliefs.server


def test_a_step_is_predicted_for_the_clients_of_a_round(make, tmp_path):
    """Of devices that are all alike, half of eight clients take as long as four, whatever their cut."""
    alike = {"cuts.devices": device_file(tmp_path, "")}
    for cut in ("1,1,1,1", "2,1,2,1", "2,2,2,2"):
        fixed = {**alike, "cuts.solver": "fixed", "cuts.fixed": cut}
        half = solve(make(**fixed, clients=8, fraction_train=0.5)).latency_s
        assert half == pytest.approx(solve(make(**fixed, clients=4)).latency_s, rel=1e-12)
        assert half < solve(make(**fixed, clients=8)).latency_s
    half, four = (solve(make(**alike, **own)) for own in ({"clients": 8, "fraction_train": 0.5}, {}))
    assert half.latency_s == pytest.approx(four.latency_s)
    assert set(half.cuts) == set(four.cuts)


def test_cuts_that_are_chosen_anew_are_for_the_clients_of_a_round_too(make):
    config = make(clients=8, fraction_train=0.5, **{"cuts.dynamic": "true"})
    chosen = solve(config)
    again = CutReselection(config, model_spec_of(config), deal_devices(config))
    cuts = dict(enumerate(chosen.cuts))
    assert again.solution_of(cuts).latency_s == chosen.latency_s
    assert again.better(cuts, 1000, 0) is None
