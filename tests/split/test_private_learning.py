"""DP-SGD on a local discriminator: what a step is made of, and that samples and noise are its own."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from torch import Tensor

from huscf_flwr.accounting.secret_noise import KeyedStream, seeded_key
from huscf_flwr.models import all_block_keys, load_model_spec
from huscf_flwr.models.per_sample import clipped_sum
from huscf_flwr.split import Segments
from huscf_flwr.split.local_discriminator import Watch, adversarial_loss
from huscf_flwr.split.private_learning import PrivateLearning, PrivateSteps
from huscf_flwr.split.segments import TrainedBlocks
from tests.split.builders import DOUBLE, random_batch

_SPEC = load_model_spec("authors-28", 0.03).with_group_normalisation("discriminator")
_COUNT = 6


def _discriminator() -> TrainedBlocks:
    return Segments(_SPEC, list(all_block_keys(_SPEC)), seed=0, dtype=DOUBLE).discriminator


class _Seen:
    """Gives images, and remembers which were asked for."""

    def __init__(self) -> None:
        self.real = random_batch(_SPEC, _COUNT, 1)
        self.places: list[list[int]] = []

    def __call__(self, places: Tensor) -> tuple[Tensor, Tensor]:
        self.places.append(places.tolist())
        return self.real.images[places], self.real.labels[places]


def _learning(seen: _Seen, key: str = "key", **settings: float) -> PrivateLearning:
    steps = PrivateSteps(**{"sampling_rate": 0.5, "noise_multiplier": 0.0, "clip": 0.1, **settings})  # type: ignore[arg-type]
    return PrivateLearning(_COUNT, seen, steps, KeyedStream(seeded_key(0, key)))


def _gradients(monkeypatch: pytest.MonkeyPatch, discriminator: TrainedBlocks) -> list[dict[str, Tensor]]:
    """Gradients that its optimiser gets, in place of its steps."""
    found: list[dict[str, Tensor]] = []

    def taken() -> None:
        named = discriminator.blocks.named_parameters()
        found.append({name: each.grad.clone() for name, each in named if each.grad is not None})
        discriminator.blocks.zero_grad()

    monkeypatch.setattr(discriminator, "apply_gradients", taken)
    return found


def _flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([each.flatten() for each in gradients.values()])


def test_without_noise_a_step_is_the_clipped_gradients_over_the_expected_number_and_the_fakes_own(
    monkeypatch,
):
    discriminator, seen, fakes = _discriminator(), _Seen(), random_batch(_SPEC, 4, 2, apart=True)
    found = _gradients(monkeypatch, discriminator)

    assert _learning(seen)(discriminator, fakes.images, fakes) is None

    (chosen,) = seen.places
    assert 0 < len(chosen) < _COUNT
    total = clipped_sum(
        discriminator.blocks, *_Seen()(torch.tensor(chosen)), partial(adversarial_loss, target=1.0), 0.1
    )
    adversarial_loss(discriminator.blocks(fakes.images, fakes.fake_labels), 0.0).backward()
    of_fakes = {
        name: each.grad for name, each in discriminator.blocks.named_parameters() if each.grad is not None
    }
    scale = min(1.0, 0.1 / float(_flat(of_fakes).norm()))
    assert found[0].keys() == total.keys() == of_fakes.keys()
    for name, gradient in found[0].items():
        expected = total[name] / (0.5 * _COUNT) + scale * of_fakes[name]
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-8)


def test_the_noise_has_the_stated_deviation(monkeypatch):
    discriminator, fakes = _discriminator(), random_batch(_SPEC, 4, 2, apart=True)
    found = _gradients(monkeypatch, discriminator)

    for noise in (0.0, 3.0):
        _learning(_Seen(), noise_multiplier=noise)(discriminator, fakes.images, fakes)

    noise = _flat(found[1]) - _flat(found[0])
    deviation = 3.0 * 0.1 / (0.5 * _COUNT)
    assert float(noise.std()) == pytest.approx(deviation, rel=4 / math.sqrt(len(noise)))
    assert float(noise.mean()) == pytest.approx(0.0, abs=4 * deviation / math.sqrt(len(noise)))


def test_an_empty_sample_leaves_noise_over_the_expected_number(monkeypatch):
    discriminator, fakes, seen = _discriminator(), random_batch(_SPEC, 4, 2, apart=True), _Seen()
    found = _gradients(monkeypatch, discriminator)

    _learning(seen, sampling_rate=1e-9, noise_multiplier=1.0)(discriminator, fakes.images, fakes)

    assert seen.places == [[]]
    assert bool(_flat(found[0]).isfinite().all())
    assert float(_flat(found[0]).std()) == pytest.approx(0.1 / (1e-9 * _COUNT), rel=0.1)


def test_each_step_takes_a_sample_of_its_own_and_the_batch_has_no_part_in_it():
    fakes, seen, others = random_batch(_SPEC, 4, 2, apart=True), _Seen(), _Seen()
    mine, theirs = _discriminator(), _discriminator()
    changed = copy.copy(fakes)
    object.__setattr__(changed, "images", -fakes.images)

    _learning(seen, each_time=8, noise_multiplier=1.0)(mine, fakes.images, fakes)
    _learning(others, each_time=8, noise_multiplier=1.0)(theirs, fakes.images, changed)

    assert len(seen.places) == 8
    assert len({tuple(each) for each in seen.places}) > 1
    for name, tensor in mine.blocks.state_dict().items():
        assert torch.equal(tensor, theirs.blocks.state_dict()[name])


def test_nobody_may_watch():
    discriminator, fakes = _discriminator(), random_batch(_SPEC, 4, 2, apart=True)

    with pytest.raises(ValueError, match="not to be watched"):
        _learning(_Seen())(discriminator, fakes.images, fakes, Watch(2, lambda _: None))
