import pytest
import torch

from huscf_flwr.methods.fedvtc import losses
from huscf_flwr.methods.fedvtc.adversary import Adversary
from huscf_flwr.models.critics import build_critic
from huscf_flwr.models.spec import ImageSpec
from tests.run.builders import assert_same_to_the_bit


def test_a_verdict_beyond_one_costs_nothing():
    real, drawn = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 2.0])
    assert float(losses.hinge(real, drawn)) == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 1 + 3) / 3)


def pictures(labels, shift):
    stream = torch.Generator().manual_seed(shift)
    images = 0.1 * torch.randn(len(labels), 1, 28, 28, generator=stream)
    images[:, 0, shift : shift + 8] += 0.8
    return images


def test_a_critic_learns_to_tell_real_images_of_a_class_from_drawn_ones():
    """An image that is real for one class is drawn for another."""
    critic = build_critic(ImageSpec(size=28, channels=1), 3, torch.Generator().manual_seed(0))
    adversary = Adversary(critic, 1e-3)
    labels = torch.tensor([0, 1] * 8)
    first, second = pictures(labels, 2), pictures(labels, 16)
    swap = (labels == 1)[:, None, None, None]
    real, drawn = torch.where(swap, second, first), torch.where(swap, first, second)
    found = [float(adversary.train(real, drawn, labels)) for _ in range(60)]
    assert found[-1] < 0.2 < 1.5 < found[0]
    assert (critic(real, labels) > critic(drawn, labels) + 1).all()


def test_the_decoder_is_told_what_the_critic_takes_for_real_and_does_not_change_it():
    critic = build_critic(ImageSpec(size=28, channels=1), 3, torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in critic.state_dict().items()}
    labels = torch.tensor([0, 2])
    images = pictures(labels, 4).requires_grad_()
    loss = Adversary(critic, 1e-3).loss_of(images, labels)
    torch.testing.assert_close(loss, -critic(images, labels).mean())
    loss.backward()
    assert images.grad.abs().sum() > 0
    assert_same_to_the_bit(critic.state_dict(), before)


def test_gradients_of_the_decoders_loss_do_not_reach_the_critic():
    labels = torch.tensor([0, 1, 2])
    critic = build_critic(ImageSpec(size=28, channels=1), 3, torch.Generator().manual_seed(0))
    adversary = Adversary(critic, 1e-3)
    adversary.loss_of(pictures(labels, 16).requires_grad_(), labels).backward()
    assert all(weight.grad is None and weight.requires_grad for weight in critic.parameters())
