import pytest
import torch
from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode

from huscf_flwr.cuts.costs import block_costs, step_costs
from huscf_flwr.cuts.measure import StepWork
from huscf_flwr.models import build_network, load_model_spec
from huscf_flwr.session import SentBytes
from tests.cuts.instances import model_specs

GENERATOR = [
    (0.1846, 0.1879, 3_211_264),
    (13.1694, 26.3292, 6_422_528),
    (3.7154, 7.4212, 6_422_528),
    (13.1854, 26.3516, 12_845_056),
    (0.0581, 0.1158, 200_704),
]
DISCRIMINATOR = [
    (0.0602, 0.0634, 3_211_264),
    (0.8265, 1.6502, 1_605_632),
    (0.9293, 1.8557, 1_605_632),
    (0.6056, 1.2102, 589_824),
    (0.0003, 0.0006, 256),
]
BATCH = 4


@pytest.mark.parametrize(("network", "table"), [("generator", GENERATOR), ("discriminator", DISCRIMINATOR)])
def test_paper_rule_gives_the_authors_block_table(network, table):
    blocks = block_costs(load_model_spec("authors-28"), network, 64, "paper")
    found = [
        (round(block.forward_flop / 1e9, 4), round(block.backward_flop / 1e9, 4), block.output_bytes)
        for block in blocks
    ]
    assert found == table


def test_paper_rule_gives_the_authors_sums():
    costs = step_costs(load_model_spec("authors-28"), 64, "paper")
    assert costs.generator.client_forward_gflop.sum() == pytest.approx(30.313, abs=5e-4)
    assert costs.generator.client_backward_gflop.sum() == pytest.approx(60.406, abs=5e-4)
    assert costs.discriminator.client_forward_gflop.sum() == pytest.approx(3 * 2.422, abs=2e-3)
    assert costs.discriminator.client_backward_gflop.sum() == pytest.approx(3 * 4.780, abs=2e-3)


def test_paper_rule_charges_the_server_for_one_pass_and_swaps_blocks_2_and_4():
    """Quirks 26 and 27."""
    discriminator = step_costs(load_model_spec("authors-28"), 64, "paper").discriminator
    assert discriminator.server_forward_gflop * 3 == pytest.approx(discriminator.client_forward_gflop)
    assert discriminator.server_backward_gflop[1] == discriminator.server_backward_gflop[3]
    assert discriminator.server_backward_gflop[1] == pytest.approx(1.2102, abs=5e-5)


def test_paper_rule_counts_stride_two_four_times():
    """Quirk 28: the true multiply-adds of the generator are about 10.58 GFLOP."""
    exact = step_costs(load_model_spec("authors-28"), 64, "exact").generator
    assert exact.client_forward_gflop.sum() == pytest.approx(10.58, abs=0.3)


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def check_blocks(spec, network):
    """Compare every block with what torch counts: forward, backward, and backward with frozen weights."""
    built = build_network(spec, network)
    labels = torch.zeros(BATCH, dtype=torch.int64)
    shapes = spec.shapes(network)
    for index, cost in enumerate(block_costs(spec, network, BATCH, "exact")):
        block = built.at(index)
        inputs = torch.randn(BATCH, *shapes[index], requires_grad=True)
        forward, backward, outputs = counted_both_ways(block, inputs, labels)
        assert (forward, backward) == (cost.forward_flop, cost.backward_flop)
        assert outputs.numel() * 4 == cost.output_bytes
        assert sum(parameter.numel() for parameter in block.parameters()) == cost.parameters
        _, frozen_backward, _ = counted_both_ways(block.requires_grad_(False), inputs, labels)
        assert frozen_backward == cost.frozen_backward_flop


def counted_both_ways(block, inputs, labels):
    with FlopCounterMode(display=False) as forward:
        outputs = block(inputs, labels)
    backward = counted(outputs.sum().backward)
    return forward.get_total_flops(), backward, outputs


@pytest.mark.parametrize("model", ["authors-28", "colour-32"])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_exact_rule_equals_torchs_flop_counter(model, network):
    check_blocks(load_model_spec(model, 0.1), network)


@settings(deadline=None, max_examples=15)
@given(model_specs())
def test_exact_rule_equals_torchs_flop_counter_on_random_networks(spec):
    check_blocks(spec, "generator")
    check_blocks(spec, "discriminator")


@pytest.mark.parametrize("model", ["authors-28", "colour-32"])
def test_exact_step_equals_torchs_count_of_a_whole_step(model):
    """Three passes of the discriminator, the last with frozen weights."""
    spec = load_model_spec(model, 0.1)
    costs = step_costs(spec, BATCH, "exact")
    expected = (costs.generator.total_gflop() + costs.discriminator.total_gflop()) * 1e9
    assert counted(StepWork(spec, BATCH).run) == pytest.approx(expected, rel=1e-12)


def test_exact_rule_charges_clients_and_server_alike():
    costs = step_costs(load_model_spec("colour-32"), 16, "exact")
    for network in (costs.generator, costs.discriminator):
        assert (network.client_forward_gflop == network.server_forward_gflop).all()
        assert (network.client_backward_gflop == network.server_backward_gflop).all()


def test_costs_grow_with_the_batch():
    spec = load_model_spec("authors-28")
    for rule in ("paper", "exact"):
        one, ten = step_costs(spec, 1, rule), step_costs(spec, 10, rule)
        assert ten.generator.total_gflop() == pytest.approx(10 * one.generator.total_gflop())
        assert (ten.generator.forward_bytes == 10 * one.generator.forward_bytes).all()
        assert (ten.generator.backward_bytes == 10 * one.generator.backward_bytes).all()
        assert (ten.generator.parameters == one.generator.parameters).all()


def test_what_crosses_takes_the_bytes_of_its_kind():
    """By hand: the generator once; of the discriminator's three passes forward, the last one repeats."""
    sent = SentBytes(activation=5, generated=3, repeated=1, gradient=2, packing=0.5)
    spec = load_model_spec("authors-28")
    costs, plain = (step_costs(spec, 4, "exact", sent=each) for each in (sent, SentBytes()))
    numbers = 4 * 64 * 14 * 14
    head = costs.discriminator
    assert head.forward_bytes[0] == (2 * 5 + 1) * numbers
    assert head.backward_bytes[0] == 3 * 2 * numbers
    assert head.packed_numbers[0] == 0.5 * 3 * numbers
    outputs = 4 * 256 * 7 * 7
    assert costs.generator.forward_bytes[0] == 3 * outputs
    assert costs.generator.backward_bytes[0] == 2 * outputs
    assert plain.generator.forward_bytes[0] == plain.generator.backward_bytes[0] == 4 * outputs
    assert not plain.generator.packed_numbers.any()


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="batch_size is 0"):
        block_costs(load_model_spec("authors-28"), "generator", 0, "exact")
