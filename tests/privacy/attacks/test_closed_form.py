"""What an activation and a convolution hide of what they were given."""

import pytest
import torch

from huscf_flwr.models.spec import ConvolutionSpec
from huscf_flwr.privacy.attacks.closed_form import FirstConvolution, before_activation

SPEC = ConvolutionSpec(kind="convolution", channels=4, kernel=4, stride=2, padding=1, label_plane=True)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


KERNEL, PLANES = drawn(9, 2, 4, 4), drawn(3, 8, 8, seed=1)


def leaky(spec=SPEC, activation="leaky_relu"):
    return spec.model_copy(update={"activation": activation})


def test_a_leaky_activation_is_undone():
    numbers = drawn(2, 3, 4, 4)
    after = torch.nn.functional.leaky_relu(numbers, 0.2)
    assert torch.allclose(before_activation(after, leaky()), numbers)


def test_without_an_activation_nothing_is_to_be_undone():
    assert torch.equal(before_activation(drawn(5), leaky(activation="none")), drawn(5))


def test_an_activation_that_loses_numbers_is_named():
    with pytest.raises(ValueError, match="relu cannot be undone"):
        before_activation(drawn(5), leaky(activation="relu"))


@pytest.fixture
def convolution():
    """More numbers come out than go in: 9 channels of 16 positions, of 64 pixels and 3 labels."""
    return FirstConvolution.of(KERNEL, PLANES, SPEC, (1, 8, 8))


def known(convolution):
    """Images, labels, and what the convolution makes of them."""
    images, labels = drawn(5, 64, seed=2).clamp(-1, 1), torch.tensor([0, 1, 2, 0, 1])
    weights = torch.nn.functional.one_hot(labels, 3).double()
    outputs = torch.cat((images, weights), dim=1) @ convolution.matrix.t()
    return images.view(-1, 1, 8, 8), labels, outputs.view(5, 9, 4, 4)


def test_the_matrix_is_the_convolution_of_image_and_plane(convolution):
    images, labels, outputs = known(convolution)
    joined = torch.cat((images, PLANES[labels].unsqueeze(1)), dim=1)
    assert torch.allclose(outputs, torch.nn.functional.conv2d(joined, KERNEL, stride=2, padding=1))


def test_what_was_not_normalised_comes_back(convolution):
    images, labels, outputs = known(convolution)
    found = convolution.invert(outputs)
    assert torch.allclose(found.images, images.float(), atol=1e-5)
    assert torch.equal(found.labels, labels)


def test_what_was_scaled_and_shifted_by_unknown_numbers_comes_back(convolution):
    images, labels, outputs = known(convolution)
    spread, mean = drawn(9, seed=3).abs() + 0.5, drawn(9, seed=4)
    normalised = (outputs - mean.view(1, -1, 1, 1)) / spread.view(1, -1, 1, 1)
    found = convolution.invert_normalised(normalised)
    assert torch.allclose(found.images, images.float(), atol=1e-5)
    assert torch.equal(found.labels, labels)
