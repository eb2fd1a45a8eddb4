import pytest

from huscf_flwr.comparison.costs import costs_of, prices_of, shown
from huscf_flwr.cuts import CutProblem, LatencyOptions, deal, load_devices, priced, whole_networks
from huscf_flwr.methods import BUILT_IN, method_named, method_of
from huscf_flwr.methods.contract import Reveal
from huscf_flwr.models import model_spec_of
from tests.comparison.builders import kept_runs, plan_of


@pytest.fixture
def plan(tmp_path):
    return plan_of(tmp_path)


def config_of(plan, column):
    return plan.of("both", column)[0].config


def test_bytes_are_of_one_client_in_a_run_and_in_a_round(plan, tmp_path):
    kept = kept_runs(tmp_path, plan, averaged={0: {"up": 100}, 1: {"up": 300}})
    records = [record for run in plan.of("both", "averaged") if (record := kept.record(run))]
    costs = costs_of(config_of(plan, "averaged"), records)
    assert costs.bytes_by_client == {"up": 400, "down": 800}
    assert costs.bytes_of_round == {"up": 200, "down": 400}
    assert (costs.rounds, costs.steps) == (2, 10)


def test_memory_is_the_mean_over_runs_of_the_client_that_needs_most(plan, tmp_path):
    made = {0: {"memory": {"decode": 200}}, 1: {"memory": {"decode": 400, "tune": 10}}, 4: {}}
    kept = kept_runs(tmp_path, plan, averaged=made)
    records = [record for run in plan.of("both", "averaged") if (record := kept.record(run))]
    assert costs_of(config_of(plan, "averaged"), records).memory == {"decode": 300, "tune": 10}
    assert costs_of(config_of(plan, "averaged"), records[2:]).memory == {}


def test_prices_are_those_of_the_latency_model_by_both_rules(plan):
    config = config_of(plan, "averaged")
    profiles = load_devices(config.cuts.devices)
    prices, rest = prices_of(config, clients=9, steps=5)
    for found, devices in ((prices, profiles.devices), (rest, profiles.without_slowest().devices)):
        for rule in ("paper", "exact"):
            options = LatencyOptions(steps_per_round=5)
            problem = CutProblem(model_spec_of(config), deal(devices, 9), profiles.server, 16, rule, options)
            assert found[rule] == priced(whole_networks(problem, sent=True), problem)
    assert rest["exact"].step_s < prices["exact"].step_s


def test_only_the_clients_of_a_round_are_priced(plan):
    config = config_of(plan, "parted")
    half = config.model_copy(update={"fraction_train": 0.5})
    servers = [prices_of(each, clients=14, steps=5)[0]["exact"].server_gflop for each in (config, half)]
    assert servers[1] < servers[0]


def test_one_class_of_devices_has_no_slowest_to_leave_out(plan, tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(
        "server: {gflops: 100, mbit_per_s: 100}\ndevices: [{name: only, gflops: 1, mbit_per_s: 1}]\n"
    )
    config = config_of(plan, "averaged")
    cuts = config.cuts.model_copy(update={"devices": str(path)})
    prices, rest = prices_of(config.model_copy(update={"cuts": cuts}), clients=3, steps=5)
    assert (prices.keys(), rest) == ({"paper", "exact"}, {})


def test_what_is_learned_is_told_worst_first_and_once():
    said = {"a": Reveal.AVERAGE, "b": Reveal.IMAGES, "c": Reveal.AVERAGE, "d": Reveal.NOTHING}
    assert shown(said, ["a", "b", "c", "d"]) == (Reveal.IMAGES, Reveal.AVERAGE)


def test_what_nobody_has_said_is_told_as_that():
    assert shown({"a": Reveal.NOTHING}, ["a", "new"]) == (Reveal.UNSAID,)


@pytest.mark.parametrize("name", BUILT_IN)
def test_our_methods_say_what_everything_that_crosses_shows(name):
    crossing = method_named(name).crossing
    assert Reveal.UNSAID not in shown(crossing.shows_server, crossing.names_up())
    assert Reveal.UNSAID not in shown(crossing.shows_clients, crossing.names_down())


WITHOUT_A_PRICE = {"fedproto", "fedvtc", "fedtgp", "fedgen", "gefl", "ccvr", "fedtype"}


@pytest.mark.parametrize("name", sorted(BUILT_IN.keys() - WITHOUT_A_PRICE))
def test_our_methods_for_generators_have_a_price(plan, name):
    config = (
        plan_of(plan.path.parent, {"scenarios": {"a": {}}, "methods": {"a": {"method": name}}}).runs[0].config
    )
    prices, _ = prices_of(config, clients=8, steps=10)
    assert prices.keys() == {"paper", "exact"}
    for price in prices.values():
        assert price.step_s > 0
        assert price.client_gflop + price.server_gflop > 0


def test_what_local_classifiers_cost_is_not_known(plan):
    content = {"scenarios": {"a": {}}, "methods": {"a": {"method": "local", "local": {"task": "classifier"}}}}
    config = plan_of(plan.path.parent, content).runs[0].config
    assert method_of(config).__name__ == "LocalClassifier"
    assert prices_of(config, clients=8, steps=10) == ({}, {})
