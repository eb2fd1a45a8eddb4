import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from huscf_flwr.models.convolution import Convolution, TransposedConvolution

PYTORCHS = {Convolution: nn.Conv2d, TransposedConvolution: nn.ConvTranspose2d}


@settings(max_examples=60, deadline=None)
@given(
    layer=st.sampled_from([Convolution, TransposedConvolution]),
    stride=st.integers(1, 3),
    kernel=st.integers(1, 5),
    padding=st.integers(0, 5),
    channels=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 2**16),
)
def test_values_and_gradients_are_those_of_pytorchs_layer(
    layer, stride, kernel, padding, channels, size, seed
):
    batch, height, width = size
    assume(all(_output_size(layer, side, kernel, stride, padding) >= 1 for side in (height, width)))
    stream = torch.Generator().manual_seed(seed)
    ours = layer(*channels, kernel, stride, padding).double()
    theirs = PYTORCHS[layer](*channels, kernel, stride, padding).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(generator=stream)
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.randn(batch, channels[0], height, width, generator=stream, dtype=torch.float64)

    results = []
    for each in (ours, theirs):
        leaf = inputs.clone().requires_grad_()
        outputs = each(leaf)
        weighting = torch.randn(
            outputs.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        (outputs * weighting).sum().backward()
        results.append((outputs, leaf.grad, each.weight.grad, each.bias.grad))
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-10)


def _output_size(layer, side, kernel, stride, padding):
    if layer is TransposedConvolution:
        return (side - 1) * stride - 2 * padding + kernel
    return (side + 2 * padding - kernel) // stride + 1
