import math

import pytest
import torch

from huscf_flwr.methods.contract import State
from huscf_flwr.methods.fedgan import FedGAN
from huscf_flwr.methods.fedgan import method as method_module
from huscf_flwr.models import flatten_blocks
from tests.run.builders import SAMPLES, assert_same_to_the_bit, small_run, training_of

WEIGHTS = {0: 16 / 30, 1: 9 / 30, 2: 5 / 30}


@pytest.fixture
def make(tmp_path):
    def training(samples=SAMPLES, **settings):
        given = {"model.width": 0.03, "method": "fedgan", "compute.precision": "float64", **settings}
        return training_of(small_run(tmp_path, tmp_path, clients=len(samples), **given), samples=samples)

    return training


def uploaded(closed):
    return {client: upload.tensors["networks"] for client, upload in closed.collected.uploads.items()}


def averaged(copies, weights, name):
    """A few lines of averaging, independent of the product's."""
    return sum(weights[client] * copies[client][name].double() for client in copies)


def assert_averaged(found, copies, weights, *, total_variance):
    assert all(found.keys() == own.keys() for own in copies.values())
    for name, tensor in found.items():
        expected = averaged(copies, weights, name)
        if name.endswith("num_batches_tracked"):
            most = max(int(own[name]) for own in copies.values())
            # An average that is truncated may be one less by rounding.
            assert tensor == most if total_variance else abs(int(tensor) - expected) <= 1
            continue
        if total_variance and name.endswith("running_var"):
            # The variance of the mixture: its mean square without the square of its mean.
            mean = name.replace("running_var", "running_mean")
            squares = {k: {name: own[name] + own[mean] ** 2} for k, own in copies.items()}
            expected = averaged(squares, weights, name) - averaged(copies, weights, mean) ** 2
        torch.testing.assert_close(tensor, expected, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("buffers", ["average", "total-variance"])
def test_networks_are_averaged_by_sample_counts(make, buffers):
    training = make(**{"fedgan.buffers": buffers})
    for _ in range(2):
        closed = training.train()
        found = flatten_blocks(training.method.networks)
        assert_averaged(found, uploaded(closed), WEIGHTS, total_variance=buffers == "total-variance")
        assert {k: facts["weight"] for k, facts in closed.outcome.clients.items()} == pytest.approx(WEIGHTS)


def test_clients_that_drop_out_are_in_no_average(make):
    training = make()
    closed = training.train(absent=(0,))
    weights = {1: 9 / 14, 2: 5 / 14}
    assert_averaged(flatten_blocks(training.method.networks), uploaded(closed), weights, total_variance=False)


def test_everybody_starts_with_the_average(make):
    training = make()
    training.train()
    orders = training.method.orders(2, [0, 1, 2])
    for client in (0, 1, 2):
        assert_same_to_the_bit(
            orders.of(client).tensors["networks"], flatten_blocks(training.method.networks)
        )


def test_a_round_has_as_many_steps_as_the_largest_client_has_batches(make):
    assert make(local_epochs=3).method.steps(1, [0, 1, 2]) == 3 * math.ceil(16 / 8)


def test_all_that_it_must_remember_are_the_networks(make):
    first, second = make(), make(seed=1)
    first.train()
    second.method.load(State({}, first.method.state().tensors))
    assert_same_to_the_bit(flatten_blocks(second.method.networks), flatten_blocks(first.method.networks))


@pytest.mark.parametrize("statistics", ["measured", "averaged"])
def test_its_product_is_the_averaged_generator_with_the_statistics_that_are_asked_for(make, statistics):
    training = make(**{"fedgan.running_statistics": statistics})
    training.train()
    (product,) = training.method.products()
    assert (product.name, product.clients) == ("global", (0, 1, 2))
    networks = flatten_blocks(training.method.networks)
    assert set(product.tensors) == {name for name in networks if name.startswith("generator")}
    for name, tensor in product.tensors.items():
        is_statistic = "running_" in name or "num_batches" in name
        same = torch.equal(tensor.double(), networks[name].double())
        assert same or (is_statistic and statistics == "measured"), name
    assert training.method.judged_for([1]).name == "global"
    assert training.method.clusters() == {}


def test_a_product_draws_labelled_images(make):
    training = make()
    (product,) = training.method.products()
    sample = FedGAN.sampler(training.config, product.tensors)
    images = sample(torch.arange(4), torch.Generator().manual_seed(0))
    assert images.shape == (4, 1, 28, 28)
    assert images.abs().max() <= 1


def test_the_generator_is_measured_once_a_round(make, monkeypatch):
    training, measured = make(), []
    monkeypatch.setattr(
        method_module,
        "measured_generator",
        lambda config, networks: measured.append(1) or networks,
    )
    for _ in range(2):
        training.train()
        for _ in range(3):
            training.method.products()
    assert len(measured) == 2
