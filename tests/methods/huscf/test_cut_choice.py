import json

import pytest

from huscf_flwr.cuts import ExactSolver, deal_devices, load_devices
from huscf_flwr.methods.huscf.cut_choice import CutReselection, choose_cuts
from huscf_flwr.models import Cut, legal_cuts, model_spec_of
from huscf_flwr.session import StepTimes
from tests.run.builders import small_run


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


def test_a_narrower_wire_is_predicted_to_be_faster(make):
    fixed = {"cuts.solver": "fixed", "cuts.fixed": "1,1,1,1"}
    as_computed, half, bfloat16 = (
        solve(make(**fixed, **settings)).latency_s
        for settings in ({}, {"compute.wire_dtype": "float16"}, {"compute.precision": "bfloat16"})
    )
    assert half < as_computed
    assert half == bfloat16


def test_what_is_believed_goes_through_a_checkpoint(make):
    config = make()
    saved, loaded = (CutReselection(config, model_spec_of(config), deal_devices(config)) for _ in range(2))
    saved.learn(dict.fromkeys(range(4), Cut(1, 1, 1, 1)), {0: StepTimes(1.0, 1.0)}, 1.0)
    loaded.load_state(json.loads(json.dumps(saved.state())))
    assert loaded.beliefs == saved.beliefs
    assert loaded.beliefs.unmeasured == {1, 2, 3}
