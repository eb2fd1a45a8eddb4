"""Blocks that enlarge by repeating pixels: their shapes and costs, and that they draw no checkerboards."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from huscf_flwr.cuts.costs import block_costs
from huscf_flwr.models import ModelSpec, build_network
from tests.cuts.test_costs import check_blocks
from tests.models.specs import three_block_spec

ENLARGED = {"kind": "enlarged_convolution", "channels": 3, "kernel": 3, "padding": 1}
TRANSPOSED = {"kind": "transposed_convolution", "channels": 3, "kernel": 4, "stride": 2, "padding": 1}


def with_second_block(block, size=8):
    content = three_block_spec().model_dump(mode="json")
    content["generator"]["blocks"][1] = block
    content["image"]["size"] = size
    return ModelSpec.model_validate(content)


def second_block(block):
    return build_network(with_second_block(block), "generator").at(1)


def test_it_is_an_enlargement_and_a_convolution():
    block = second_block(ENLARGED)
    inputs = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    twice = inputs.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.allclose(
        block(inputs), functional.conv2d(twice, block.main.weight, block.main.bias, padding=1)
    )


def test_shapes_follow_factor_kernel_and_padding():
    assert with_second_block(ENLARGED).generator_shapes[2] == (3, 8, 8)
    assert with_second_block({**ENLARGED, "factor": 3}, size=12).generator_shapes[2] == (3, 12, 12)
    assert with_second_block({**ENLARGED, "padding": 0}, size=6).generator_shapes[2] == (3, 6, 6)
    with pytest.raises(ValidationError, match=r"a kernel of 30 does not fit .*, enlarged"):
        with_second_block({**ENLARGED, "kernel": 30})


@pytest.mark.parametrize(("block", "is_even"), [(ENLARGED, True), (TRANSPOSED, False)])
def test_of_an_even_map_it_draws_an_even_one_and_a_transposed_convolution_a_checkerboard(block, is_even):
    """Away from the edges, where padding is seen."""
    drawn = second_block(block)(torch.ones(1, 4, 4, 4))[:, :, 2:-2, 2:-2]
    assert torch.allclose(drawn, drawn[:, :, :1, :1].expand_as(drawn), atol=1e-6) == is_even


def test_its_costs_are_what_torch_counts_and_it_keeps_the_enlarged_map():
    """Of 4 x 8 x 8 numbers enlarged, and 3 x 8 x 8 drawn, for each of two images."""
    spec = with_second_block(ENLARGED)
    check_blocks(spec, "generator")
    assert block_costs(spec, "generator", 2, "exact")[1].kept_values == 2 * (256 + 192)
