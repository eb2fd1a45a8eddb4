"""What the parts of a run are built with is what the configuration says."""

import pytest
import torch

from huscf_flwr.models import model_spec_of
from huscf_flwr.process import dtype_of
from huscf_flwr.session import WireType, wire_type_of
from huscf_flwr.split import adam_settings
from tests.run.builders import small_run


@pytest.fixture
def make(tmp_path):
    return lambda **settings: small_run(tmp_path, tmp_path, **settings)


def test_the_width_is_the_configured_one(make):
    assert model_spec_of(make(**{"model.width": 0.5})).generator_shapes[1] == (128, 7, 7)


def test_the_optimiser_is_the_configured_one(make):
    given = {"optimiser.learning_rate": 0.001, "optimiser.beta1": 0.25, "optimiser.beta2": 0.5}
    config = make(**given)
    adam = adam_settings(config)
    assert (adam.learning_rate, adam.beta1, adam.beta2) == (0.001, 0.25, 0.5)
    assert dtype_of(config) == torch.float32


def test_numbers_cross_as_they_are_computed_unless_a_narrower_type_is_set(make):
    def wire(precision, sent):
        return wire_type_of(make(**{"compute.precision": precision, "wire.preset": sent, "seed": 3}), 4)

    assert wire("float32", "exact") == WireType()
    assert wire("bfloat16", "exact") == WireType()
    assert wire("float64", "half") == WireType(torch.float16, torch.float64)
    packed = wire("bfloat16", "small")
    assert (packed.computed, packed.packing.seed, packed.packing.round_number) == (torch.bfloat16, 3, 4)
