import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.models import (
    NETWORKS,
    Blocks,
    all_block_keys,
    build_blocks,
    build_network,
    flatten_blocks,
    load_model_spec,
    unflatten_blocks,
    weight_dtype,
)
from huscf_flwr.models.blocks import Block
from huscf_flwr.seeding import derive_seed
from tests.models.specs import architectures, small_specs

SPECS = small_specs()
ENTRIES = st.text("abc._", min_size=1).filter(lambda name: name.strip("."))
STATES = st.dictionaries(
    st.sampled_from(list(all_block_keys(SPECS["three-blocks"]))),
    st.dictionaries(ENTRIES, st.integers(-9, 9).map(torch.tensor), min_size=1, max_size=3),
)


def parameters_by_block(network):
    return [sum(p.numel() for p in block.parameters()) for block in network.values()]


def test_the_authors_networks_have_the_right_numbers_of_parameters():
    """Weights + biases + two per normalised channel, with k x k kernels.

    Generator: 10 x 10 embedded; 110 x 12544 + 12544 + 2 x 12544; 256 x 128 x 16 + 128 + 256;
    128 x 128 x 9 + 128 + 256; 128 x 64 x 16 + 64 + 128; 64 x 1 x 9 + 1.
    Discriminator: 10 x 784 embedded; 2 x 64 x 16 + 64 + 128; 64 x 128 x 16 + 128 + 256;
    128 x 128 x 9 + 128 + 256; 128 x 256 x 16 + 256 + 512; 2304 x 1 + 1.
    """
    spec = load_model_spec("authors-28")
    generator, discriminator = (build_network(spec, network) for network in NETWORKS)
    assert parameters_by_block(generator) == [1_417_572, 524_672, 147_840, 131_264, 577]
    assert parameters_by_block(discriminator) == [10_080, 131_456, 147_840, 525_056, 2_305]


def test_the_authors_shapes():
    spec = load_model_spec("authors-28")
    maps = ((256, 7, 7), (128, 14, 14), (128, 14, 14), (64, 28, 28))
    assert spec.generator_shapes == ((100,), *maps, (1, 28, 28))
    maps = ((64, 14, 14), (128, 7, 7), (128, 7, 7), (256, 3, 3))
    assert spec.discriminator_shapes == ((1, 28, 28), *maps, (1,))
    assert (spec.generator.middle, spec.discriminator.middle) == (3, 3)


def test_the_authors_activations():
    spec = load_model_spec("authors-28", 0.02)
    names = [type(block.activation).__name__ for block in build_network(spec, "generator").values()]
    assert names == ["ReLU"] * 4 + ["Tanh"]
    blocks = list(build_network(spec, "discriminator").values())
    assert [type(block.activation).__name__ for block in blocks] == ["LeakyReLU"] * 4 + ["Identity"]
    assert {block.activation.negative_slope for block in blocks[:4]} == {0.2}


@pytest.mark.parametrize("spec", architectures(), ids=lambda spec: spec.name)
def test_weights_equal_those_that_pytorch_draws_from_the_stream_of_the_block(spec):
    """PyTorch's layers draw from the global stream, which is seeded here like the block's own, in a fork."""
    for network, index in all_block_keys(spec):
        built = build_blocks(spec, network, [index], seed=5, owner=3).at(index)
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(5, "weights", 3, network, index))
            expected = Block(spec.network(network).blocks[index], spec.shapes(network)[index], spec.classes)
        for name, tensor in expected.state_dict().items():
            assert torch.equal(built.state_dict()[name], tensor), (network, index, name)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(SPECS)), st.sampled_from(NETWORKS), st.data())
def test_weights_do_not_depend_on_which_other_blocks_are_built(name, network, data):
    spec = SPECS[name]
    whole = build_network(spec, network, seed=1)
    chosen = data.draw(st.lists(st.sampled_from([int(index) for index in whole]), unique=True))
    before = torch.get_rng_state()
    part = build_blocks(spec, network, chosen, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(part) == [str(index) for index in sorted(chosen)]
    for key, state in part.states().items():
        for entry, tensor in state.items():
            assert torch.equal(tensor, whole.states()[key][entry])


@pytest.mark.parametrize("other", [{"seed": 1}, {"seed": 0, "owner": 0}, {"seed": 0, "owner": "0"}])
def test_another_seed_or_owner_gives_other_weights(other):
    spec = SPECS["authors-28"]
    common = build_blocks(spec, "generator", [0, 1], seed=0)
    different = build_blocks(spec, "generator", [0, 1], **other)
    for index in (0, 1):
        assert not torch.equal(common.at(index).main.weight, different.at(index).main.weight)


def test_states_share_memory_and_load_copies():
    spec = SPECS["authors-28"]
    first, second = build_network(spec, "generator", seed=0), build_network(spec, "generator", seed=1)
    second.load(first.states())
    with torch.no_grad():
        first.at(0).main.bias.fill_(7.0)
    assert first.states()["generator", 0]["main.bias"].unique().tolist() == [7.0]
    assert 7.0 not in second.states()["generator", 0]["main.bias"]


def test_load_needs_every_block():
    network = build_network(SPECS["authors-28"], "generator")
    states = network.states()
    del states["generator", 2]
    with pytest.raises(KeyError):
        network.load(states)


def test_running_parts_in_turn_equals_running_the_whole():
    spec = SPECS["colour-32"]
    network = build_network(spec, "discriminator", dtype=torch.float64).eval()
    stream = torch.Generator().manual_seed(0)
    images = torch.randn(3, *spec.image.shape, generator=stream, dtype=torch.float64)
    labels = torch.tensor([0, 5, 9])
    in_parts = network.run([2, 3, 4, 5], network.run([0, 1], images, labels))
    assert torch.equal(in_parts, network(images, labels))


def test_labels_change_the_output_and_a_first_block_needs_them():
    network = build_network(SPECS["authors-28"], "generator").eval()
    latents = torch.ones(2, 100)
    images = network(latents, torch.tensor([3, 4]))
    assert not torch.equal(images[0], images[1])
    with pytest.raises(ValueError, match="projection block needs the labels"):
        network(latents)


@pytest.mark.parametrize(
    ("computation", "weights"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_weights_statistics_and_gradients_are_never_coarser_than_float32(computation, weights):
    spec = SPECS["authors-28"]
    for network in NETWORKS:
        blocks = build_network(spec, network, dtype=computation)
        inputs = torch.randn(4, *spec.shapes(network)[0], dtype=weights, generator=torch.Generator())
        outputs = blocks(inputs, torch.arange(4))
        assert outputs.dtype == computation
        outputs.sum().backward()
        tensors = [*blocks.parameters(), *(p.grad for p in blocks.parameters() if p.requires_grad)]
        tensors += [buffer for buffer in blocks.buffers() if buffer.is_floating_point()]
        assert {tensor.dtype for tensor in tensors} == {weights} == {weight_dtype(computation)}


def test_a_bias_is_trained_unless_a_normalisation_cancels_it():
    spec = SPECS["authors-28"]
    for network in NETWORKS:
        blocks = build_network(spec, network, dtype=torch.float64)
        inputs = torch.randn(4, *spec.shapes(network)[0], dtype=torch.float64, generator=torch.Generator())
        before = blocks(inputs, torch.arange(4))
        for block in blocks.values():
            normalised = hasattr(block.norm, "running_mean")
            assert block.main.bias.requires_grad != normalised
            if normalised:
                with torch.no_grad():
                    block.main.bias += 1.0
        torch.testing.assert_close(blocks(inputs, torch.arange(4)), before, rtol=1e-9, atol=1e-9)


def test_an_empty_set_of_blocks_is_the_identity():
    inputs = torch.ones(2, 3)
    assert torch.equal(Blocks("generator", {})(inputs), inputs)


@given(STATES, STATES)
def test_flattened_blocks_are_restored_from_the_names_of_their_tensors(first, second):
    flat = {**flatten_blocks(first, "first/"), **flatten_blocks(second, "second/")}
    assert unflatten_blocks(flat, "first/") == first
    assert unflatten_blocks(flat, "second/") == second
