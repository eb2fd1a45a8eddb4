"""Strategies as their users extend them, and parts of a method that its author brings."""

import dataclasses

import pytest
import torch

from huscf_flwr.config import to_run_config
from huscf_flwr.federation import Clustering, SampleWeighting
from huscf_flwr.methods.fedgan import FedGAN as FedGANMethod
from huscf_flwr.run.run_folder import read_metrics, read_summary
from strategies import (
    CCVR,
    FSGAN,
    HFLGAN,
    MDGAN,
    PFLGAN,
    UAGAN,
    FedGAN,
    FedGen,
    FedProto,
    FedTGP,
    FedType,
    FedVTC,
    GeFL,
    HuSCF,
    Local,
    MethodStrategy,
)
from tests.flower.grid_runs import hosts, run
from tests.flower.in_process_grid import InProcessGrid
from tests.run.builders import (
    METHODS,
    UNJUDGED,
    SilentDisplay,
    least_rounds,
    small_run,
)


@dataclasses.dataclass
class OnlyTheFirst:
    """A method author's own weighting: the first client of a cluster is all that counts."""

    calls: int = 0

    def __call__(self, samples, divergences):
        self.calls += 1
        weights = torch.zeros_like(samples)
        weights[0] = 1.0
        return weights


def all_together(features, *, seed):
    return Clustering((0,) * len(features), None)


def of_clients(line, name):
    return [client[name] for client in line["clients"]]


def test_a_method_authors_own_objects_are_used(images, tmp_path):
    config = small_run(images, tmp_path, **UNJUDGED, **{"huscf.plain_rounds": 1})
    weighting = OnlyTheFirst()
    run(config, hosts(2), weighting=weighting, clusterer=all_together)
    plain, own = read_metrics(config.folder)
    assert of_clients(plain, "global_weight") == pytest.approx([0.25] * 4)
    assert weighting.calls > 0
    assert of_clients(own, "weight") == of_clients(own, "global_weight") == [1.0, 0.0, 0.0, 0.0]
    assert of_clients(own, "cluster") == [0, 0, 0, 0]


def test_parts_that_the_method_does_not_know_are_named_at_once(images, tmp_path):
    config = small_run(images, tmp_path, method="fedgan")
    with pytest.raises(TypeError, match="unexpected keyword argument 'weighting'"):
        run(config, hosts(1), weighting=SampleWeighting())
    assert not config.folder.exists()


def started(strategy, nodes):
    """Run a strategy as a Flower user does, round by round."""
    grid = InProcessGrid(nodes, to_run_config(strategy.config))
    with strategy.log:
        try:
            strategy.start(strategy.prepare(grid), strategy.initial_arrays(), num_rounds=strategy.rounds_left)
            strategy.finish()
        finally:
            strategy.close()
            grid.close()
    return grid


STRATEGIES = {
    "huscf": HuSCF,
    "huscf-from-labels": HuSCF,
    "huscf-local-discriminator": HuSCF,
    "huscf-private": HuSCF,
    "huscf-embedding": HuSCF,
    "fedgan": FedGAN,
    "fedproto": FedProto,
    "fedvtc": FedVTC,
    "fedvtc-own-decoders": FedVTC,
    "fedtgp": FedTGP,
    "fedgen": FedGen,
    "gefl": GeFL,
    "ccvr": CCVR,
    "fedtype": FedType,
    "gefl-dcgan": GeFL,
    "local": Local,
    "local-classifier": Local,
    "mdgan": MDGAN,
    "uagan": UAGAN,
    "fsgan": FSGAN,
    "pflgan": PFLGAN,
    "hflgan": HFLGAN,
}


OF_EACH_STRATEGY = {parent: method for method, parent in reversed(STRATEGIES.items())}
"""The first of the methods that each strategy is for."""


@pytest.mark.parametrize(("parent", "method"), OF_EACH_STRATEGY.items())
def test_a_strategy_is_there_to_be_extended(images, tmp_path, method, parent):
    class Own(parent):
        """Changes what Flower is told, and looks at what came back."""

        def __init__(self, config):
            super().__init__(config, display=SilentDisplay())
            self.seen = []

        def aggregate_train(self, server_round, replies):
            replies = list(replies)
            self.seen.append((server_round, sorted(reply.metadata.src_node_id for reply in replies)))
            arrays, metrics = super().aggregate_train(server_round, replies)
            metrics["own"] = 1.0
            return arrays, metrics

    rounds = least_rounds(METHODS[method])
    strategy = Own(small_run(images, tmp_path, **METHODS[method], **UNJUDGED, rounds=rounds))
    started(strategy, hosts(2))
    assert strategy.seen == [(number, [100, 101]) for number in range(1, rounds + 1)]
    assert read_summary(strategy.config.folder)["rounds"] == rounds


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("other", dict.fromkeys(STRATEGIES.values()))
def test_a_strategy_of_another_method_is_named(images, tmp_path, method, other):
    config = small_run(images, tmp_path, **METHODS[method])
    if STRATEGIES.get(method) is other:
        other(config).close()
    else:
        with pytest.raises(ValueError, match=rf"method: {config.method}, but this strategy is that of"):
            other(config)


def test_a_method_other_than_the_clients_is_refused_before_training(images, tmp_path):
    strategy = MethodStrategy(small_run(images, tmp_path), FedGANMethod, display=SilentDisplay())
    with pytest.raises(TypeError, match="method: huscf, but the strategy makes a FedGAN, not a HuSCF"):
        started(strategy, hosts(1))
    assert not strategy.config.folder.exists()


def test_parts_that_are_not_given_are_the_configured_ones(images, tmp_path):
    settings = {"huscf.weighting": "samples", "rounds": 1}
    strategy = HuSCF(
        small_run(images, tmp_path, **UNJUDGED, **settings), clusterer=all_together, display=SilentDisplay()
    )
    started(strategy, hosts(1))
    (line,) = read_metrics(strategy.config.folder)
    assert of_clients(line, "weight") == pytest.approx([0.25] * 4)
    assert of_clients(line, "cluster") == [0, 0, 0, 0]


def test_flower_is_shown_all_products_and_what_a_round_was(images, tmp_path):
    seen = []

    class Own(FedGAN):
        def aggregate_train(self, server_round, replies):
            seen.append(super().aggregate_train(server_round, replies))
            return seen[-1]

    config = small_run(images, tmp_path, method="fedgan", rounds=1, **UNJUDGED)
    started(Own(config, display=SilentDisplay()), hosts(1))
    ((arrays, metrics),) = seen
    assert all(name.startswith("global.generator.") for name in arrays)
    assert set(metrics) == {"discriminator-loss", "generator-loss", "seconds", "bytes-up", "bytes-down"}
