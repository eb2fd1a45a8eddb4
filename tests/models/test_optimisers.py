"""The steps are those of PyTorch's optimisers, to the bit."""

import pytest
import torch

from huscf_flwr.models.optimisers import SGD, Adam, half_cosine

SHAPES = ((3, 2, 5), (4,), ())
STEPS = 4


def weights():
    stream = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=stream).requires_grad_() for shape in SHAPES]


def trained(optimiser, parameters):
    """Step with gradients that are drawn; the second parameter has none in the first step."""
    stream = torch.Generator().manual_seed(2)
    for number in range(STEPS):
        for place, each in enumerate(parameters):
            gradient = torch.randn(each.shape, generator=stream)
            each.grad = None if (number, place) == (0, 1) else gradient
        optimiser.step()
    return parameters


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_steps_as_pytorchs(momentum):
    ours, theirs = weights(), weights()
    sgd, expected = SGD(ours, 0.1, momentum), torch.optim.SGD(theirs, lr=0.1, momentum=momentum)
    for found, wanted in zip(trained(sgd, ours), trained(expected, theirs), strict=True):
        assert torch.equal(found, wanted)
        kept = expected.state[wanted].get("momentum_buffer")
        assert (sgd.state[found] == {}) if kept is None else sgd.state[found]["momentum_buffer"].equal(kept)


def test_adam_steps_as_pytorchs_and_keeps_the_same():
    ours, theirs = weights(), weights()
    adam = Adam(ours, 0.01, (0.5, 0.99))
    expected = torch.optim.Adam(theirs, lr=0.01, betas=(0.5, 0.99), fused=True)
    for found, wanted in zip(trained(adam, ours), trained(expected, theirs), strict=True):
        assert torch.equal(found, wanted)
        assert adam.state[found].keys() == expected.state[wanted].keys()
        for moment, kept in expected.state[wanted].items():
            assert torch.equal(adam.state[found][moment], kept)


def test_a_learning_rate_may_change_between_steps():
    (weight,) = parameters = [torch.zeros(2, requires_grad=True)]
    sgd = SGD(parameters, 0.5)
    for rate, expected in ((0.5, -0.5), (0.25, -0.75)):
        sgd.learning_rate = rate
        weight.grad = torch.ones(2)
        sgd.step()
        assert weight.tolist() == [expected] * 2
    sgd.zero_grad()
    assert weight.grad is None
    sgd.step()
    assert weight.tolist() == [-0.75] * 2


def test_without_parameters_there_is_nothing_to_train():
    with pytest.raises(ValueError, match="no parameters"):
        Adam([])


def test_a_half_cosine_falls_from_the_first_rate_to_zero():
    assert [half_cosine(0.4, step, 2) for step in range(3)] == pytest.approx([0.4, 0.2, 0.0])
    assert half_cosine(0.4, 1, 3) == pytest.approx(0.3)
