import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from huscf_flwr.conf_files import ConfError
from huscf_flwr.models import NETWORKS, ModelSpec, build_network, load_model_spec
from tests.models.specs import NAMES, three_block_spec

CONVOLUTION = {"kind": "convolution", "channels": 2, "kernel": 3, "padding": 1}
TRANSPOSED = {"kind": "transposed_convolution", "channels": 2, "kernel": 3, "padding": 1}
PROJECTION = {"kind": "projection", "embedding": 2, "channels": 4, "size": 4}
LINEAR = {"kind": "linear", "features": 1}


def spec_with(network=None, position=None, block=None, **changes):
    """The three-block model with one block, or top-level entries, replaced."""
    content = {**three_block_spec().model_dump(mode="json"), **changes}
    if network is not None:
        content[network]["blocks"][position - 1] = block
    return ModelSpec.model_validate(content)


def network(middle, *blocks):
    return {"middle": middle, "blocks": blocks}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": network(2, PROJECTION, TRANSPOSED)}, "at least 3 blocks, this one has 2"),
        ({"generator": network(1, PROJECTION, TRANSPOSED, TRANSPOSED)}, "middle: 1 is not inside.*2 to 2"),
        ({"generator": network(3, PROJECTION, TRANSPOSED, TRANSPOSED)}, "middle: 3 is not inside.*2 to 2"),
        ({"generator": network(2, PROJECTION, PROJECTION, TRANSPOSED)}, "block 2 takes labels"),
        (
            {"discriminator": network(2, {**CONVOLUTION, "label_plane": True}, CONVOLUTION, PROJECTION)},
            "block 3 takes labels, but labels stay with the client",
        ),
        ({"generator": network(2, LINEAR, LINEAR, LINEAR)}, r"generator of three-blocks makes \(1,\)"),
        ({"image": {"channels": 3, "size": 8}}, r"makes \(1, 8, 8\), but image says \(3, 8, 8\)"),
        ({"image": {"channels": 1, "size": 9}}, r"makes \(1, 8, 8\), but image says \(1, 9, 9\)"),
        ({"classes": 0}, "classes"),
        ({"latent": 0}, "latent"),
        ({"width": 2}, "width"),
    ],
)
def test_invalid_networks_are_refused_with_the_reason(changes, message):
    with pytest.raises(ValidationError, match=message):
        spec_with(**changes)


@pytest.mark.parametrize(
    ("network", "position", "block", "message"),
    [
        ("discriminator", 1, PROJECTION, r"a projection takes a vector, not \(1, 8, 8\)"),
        ("discriminator", 3, {**LINEAR, "features": 2}, r"ends in \(2,\), not one logit"),
        ("discriminator", 1, CONVOLUTION, "block 1 of the discriminator must take the labels"),
        ("discriminator", 2, {**CONVOLUTION, "kernel": 11}, "kernel 11 does not fit"),
        ("generator", 1, LINEAR, r"a transposed convolution takes a feature map, not \(1,\)"),
        ("generator", 2, {**TRANSPOSED, "padding": 9}, r"padding 9 leaves nothing of \(4, 4, 4\)"),
        ("generator", 2, {**CONVOLUTION, "kind": "transformer"}, "transformer"),
        ("generator", 2, {**TRANSPOSED, "stride": 0}, "stride"),
        ("generator", 2, {**TRANSPOSED, "padding": -1}, "padding"),
        ("generator", 2, {**TRANSPOSED, "activation": "swish"}, "activation"),
        ("generator", 2, {**TRANSPOSED, "kernels": 3}, "kernels"),
    ],
)
def test_blocks_that_do_not_fit_are_refused_with_the_reason(network, position, block, message):
    with pytest.raises(ValidationError, match=message):
        spec_with(network, position, block)


def test_a_convolution_does_not_take_a_vector():
    with pytest.raises(ValidationError, match=r"a convolution takes a feature map, not \(1,\)"):
        spec_with(discriminator=network(2, {**CONVOLUTION, "label_plane": True}, LINEAR, CONVOLUTION))


@pytest.mark.parametrize("width", [0, -1, float("inf"), float("nan")])
def test_a_width_is_positive(width):
    with pytest.raises(ValueError, match=f"width: {width} is no positive number; take 1"):
        load_model_spec("authors-28", width)


def test_a_file_that_is_not_yaml_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("generator: [")
    with pytest.raises(ConfError, match=r"mine\.yaml, line \d+, column \d+: cannot be read as YAML"):
        load_model_spec(str(path))


def test_an_unknown_model_suggests_the_nearest():
    with pytest.raises(ConfError, match=r"'authors-29'.*did you mean 'authors-28'"):
        load_model_spec("authors-29")


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(NAMES), st.floats(0.001, 0.2), st.integers(2, 4))
def test_the_shapes_of_a_spec_are_those_of_the_network(name, width, batch):
    spec = load_model_spec(name, width)
    labels = torch.arange(batch) % spec.classes
    for part in NETWORKS:
        shapes = spec.shapes(part)
        current = torch.zeros(batch, *shapes[0])
        for block, shape in zip(build_network(spec, part).values(), shapes[1:], strict=True):
            current = block(current, labels)
            assert tuple(current.shape) == (batch, *shape)
            assert block.output_shape == shape


@given(st.sampled_from(NAMES), st.floats(0.001, 4))
def test_a_width_changes_only_inner_channels(name, width):
    whole, scaled = load_model_spec(name), load_model_spec(name, width)
    for part in NETWORKS:
        assert scaled.shapes(part)[0] == whole.shapes(part)[0]
        assert scaled.shapes(part)[-1] == whole.shapes(part)[-1]
        for shape, full in zip(scaled.shapes(part)[1:-1], whole.shapes(part)[1:-1], strict=True):
            assert shape == (max(1, round(full[0] * width)), *full[1:])


def test_width_one_changes_nothing():
    for name in NAMES:
        assert load_model_spec(name, 1.0) == load_model_spec(name)
