import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from huscf_flwr.models import convolution
from huscf_flwr.models.convolution import Convolution, TransposedConvolution, kernel_gradient, wide_from

PYTORCH_LAYERS = {Convolution: nn.Conv2d, TransposedConvolution: nn.ConvTranspose2d}
MATRIX_PRODUCTS = {"_FEW_POSITIONS": 144, "_MANY_CHANNELS": 1, "_PATCHES_BYTES": 1}


@settings(max_examples=60, deadline=None)
@given(
    layer=st.sampled_from([Convolution, TransposedConvolution]),
    forms=st.sampled_from([{}, MATRIX_PRODUCTS]),
    stride=st.integers(1, 3),
    kernel=st.integers(1, 5),
    padding=st.integers(0, 5),
    channels=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 2**16),
)
def test_values_and_gradients_equal_those_of_pytorchs_layer(
    layer, forms, stride, kernel, padding, channels, size, seed
):
    """In every form of an operation: the fastest for its size, or always matrix products."""
    batch, height, width = size
    assume(all(_output_size(layer, side, kernel, stride, padding) >= 1 for side in (height, width)))
    stream = torch.Generator().manual_seed(seed)
    ours = layer(*channels, kernel, stride, padding).double()
    theirs = PYTORCH_LAYERS[layer](*channels, kernel, stride, padding).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(generator=stream)
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.randn(batch, channels[0], height, width, generator=stream, dtype=torch.float64)

    results = []
    for each in (ours, theirs):
        leaf = inputs.clone().requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            for name, limit in forms.items():
                patch.setattr(convolution, name, limit)
            outputs = each(leaf)
            weighting = torch.randn(
                outputs.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
            )
            (outputs * weighting).sum().backward()
        results.append((outputs, leaf.grad, each.weight.grad, each.bias.grad))
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-10)


def test_matrix_products_in_bfloat16_are_as_exact_as_the_librarys(monkeypatch):
    """Both stay within half a per cent of the float64 results, relative to their norm."""
    stream = torch.Generator().manual_seed(0)
    wide = torch.randn(8, 32, 7, 7, generator=stream, dtype=torch.float64)
    narrow = torch.randn(8, 128, 3, 3, generator=stream, dtype=torch.float64)
    kernel = torch.randn(128, 32, 4, 4, generator=stream, dtype=torch.float64)
    exact = wide_from(narrow, kernel, 2, 1, (7, 7)), kernel_gradient(wide, narrow, kernel, 2, 1)
    wide, narrow, kernel = (tensor.bfloat16() for tensor in (wide, narrow, kernel))
    for limits in ({"_FEW_POSITIONS": 0}, MATRIX_PRODUCTS):
        for name, limit in limits.items():
            monkeypatch.setattr(convolution, name, limit)
        rounded = wide_from(narrow, kernel, 2, 1, (7, 7)), kernel_gradient(wide, narrow, kernel, 2, 1)
        for mine, expected in zip(rounded, exact, strict=True):
            assert (mine.double() - expected).norm() < 0.005 * expected.norm()


def _output_size(layer, side, kernel, stride, padding):
    if layer is TransposedConvolution:
        return (side - 1) * stride - 2 * padding + kernel
    return (side + 2 * padding - kernel) // stride + 1
