"""Gradients of single samples: what they are equal to, and that none is larger than the clip."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.models import Blocks, ModelSpec, build_network, load_model_spec
from huscf_flwr.models.per_sample import clipped_sum

_COUNT = 5


def _spec() -> ModelSpec:
    return load_model_spec("authors-28", 0.03).with_group_normalisation("discriminator")


def _discriminator() -> Blocks:
    return build_network(_spec(), "discriminator", dtype=torch.float64)


def _samples(count: int = _COUNT) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(0)
    images = torch.rand(count, 1, 28, 28, generator=stream, dtype=torch.float64) * 2 - 1
    return images, torch.randint(10, (count,), generator=stream)


def _loss(logits: Tensor) -> Tensor:
    return functional.softplus(-logits).sum()


def _one_by_one(network: Blocks, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
    found = []
    for place in range(len(images)):
        network.zero_grad()
        _loss(network(images[place : place + 1], labels[place : place + 1])).backward()
        found.append(
            {name: each.grad.clone() for name, each in network.named_parameters() if each.grad is not None}
        )
    return found


def _norm(gradients: dict[str, Tensor]) -> float:
    return float(torch.cat([each.flatten() for each in gradients.values()]).norm())


@pytest.mark.parametrize("share", [0.5, 1.0, 100.0])
def test_it_is_the_sum_of_the_clipped_gradients_of_a_loop_over_samples(share: float) -> None:
    network, (images, labels) = _discriminator(), _samples()
    alone = _one_by_one(network, images, labels)
    clip = share * sorted(map(_norm, alone))[_COUNT // 2]
    expected = {name: sum(one[name] * min(1.0, clip / _norm(one)) for one in alone) for name in alone[0]}

    found = clipped_sum(network, images, labels, _loss, clip, at_once=2)

    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-6, atol=1e-12)


def test_no_sample_has_more_than_the_clip() -> None:
    network, (images, labels) = _discriminator(), _samples()
    clip = 0.5 * min(map(_norm, _one_by_one(network, images, labels)))

    for place in range(_COUNT):
        found = clipped_sum(network, images[[place]], labels[[place]], _loss, clip)

        assert _norm(found) == pytest.approx(clip)


def test_without_a_sample_the_sum_is_zero() -> None:
    network, (images, labels) = _discriminator(), _samples(0)

    found = clipped_sum(network, images, labels, _loss, 1.0)

    assert found.keys() == {name for name, each in network.named_parameters() if each.requires_grad}
    assert all(not gradient.any() for gradient in found.values())


def test_with_group_normalisation_no_image_changes_what_another_one_gets_and_nothing_runs() -> None:
    network, (images, labels) = _discriminator(), _samples()
    changed = torch.cat([images[:1], -images[1:]])

    assert torch.equal(network(images, labels)[0], network(changed, labels)[0])
    assert not list(network.buffers())


@pytest.mark.parametrize("weight", [3e38, float("inf"), float("nan")])
def test_a_gradient_that_is_not_finite_counts_as_zero_and_spoils_no_other(weight: float) -> None:
    """Whoever sets the weights can make one image's gradient infinite: here, that of whatever has label 9."""
    network = build_network(_spec(), "discriminator", dtype=torch.float32)
    with torch.no_grad():
        network.get_parameter("0.embedding.weight")[9] = weight * torch.linspace(-1, 1, 784)
    images, labels = _samples(2)[0].float(), torch.tensor([0, 9])
    finite, broken = map(_norm, _one_by_one(network, images, labels))
    assert math.isfinite(finite)
    assert not math.isfinite(broken)

    alone, nothing, both = (
        clipped_sum(network, images[at], labels[at], _loss, 1.0) for at in ([0], [1], [0, 1])
    )

    assert not any(bool(each.any()) for each in nothing.values())
    assert _norm(alone) == pytest.approx(1.0)
    for name, gradient in both.items():
        torch.testing.assert_close(gradient, alone[name])
