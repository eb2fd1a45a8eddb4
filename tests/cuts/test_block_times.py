import numpy as np
import pytest

from huscf_flwr.cuts import block_times
from huscf_flwr.cuts.block_times import BlockSeconds, timed_costs
from huscf_flwr.cuts.costs import step_costs
from huscf_flwr.models import NETWORKS, load_model_spec

SPEC = load_model_spec("authors-28", 0.02)
COUNTED = step_costs(SPEC, 2, "exact")


def test_every_block_has_a_time():
    timed = timed_costs(SPEC, 2, COUNTED, 3.0)
    for name in NETWORKS:
        network, counted = timed.network(name), COUNTED.network(name)
        for times in (network.client_forward_gflop, network.client_backward_gflop):
            assert times.shape == counted.client_forward_gflop.shape
            assert (times > 0).all()
        # Only the optimiser's step is the client's alone.
        assert (network.client_backward_gflop > network.server_backward_gflop).all()
        assert np.array_equal(network.forward_bytes, counted.forward_bytes)
        assert np.array_equal(network.backward_bytes, counted.backward_bytes)
        assert np.array_equal(network.parameters, counted.parameters)


def test_passes_are_those_of_a_step(monkeypatch):
    """The generator once; the discriminator twice to learn, and once with frozen weights."""
    seconds = BlockSeconds(forward_s=1.0, backward_s=10.0, frozen_backward_s=100.0, optimiser_s=1000.0)
    monkeypatch.setattr(block_times, "_timed_network", lambda spec, name, batch: [seconds] * 5)
    timed = timed_costs(SPEC, 2, COUNTED, 2.0)
    assert timed.generator.client_forward_gflop == pytest.approx([2 * 1] * 5)
    assert timed.generator.client_backward_gflop == pytest.approx([2 * 1010] * 5)
    assert timed.discriminator.server_forward_gflop == pytest.approx([2 * 3] * 5)
    assert timed.discriminator.server_backward_gflop == pytest.approx([2 * 120] * 5)
