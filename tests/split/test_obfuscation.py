"""Clipping and noise on activations of real images: how far, whose it is, and what is left alone."""

import pytest
import torch

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import load_config
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.models import Cut
from huscf_flwr.split import SplitClient, obfuscation
from huscf_flwr.split.obfuscation import clipped
from tests.models.specs import small_specs
from tests.split.builders import DOUBLE, random_batch


def activations():
    return 3 + 2 * torch.randn(8, 4, 25, 25, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spreads", [0.5, 2.0])
def test_noise_is_so_many_times_as_wide_as_activations_spread(spreads):
    added = obfuscation(None, spreads)(activations()) - activations()
    assert added.std().item() == pytest.approx(2 * spreads, rel=0.05)
    assert added.mean().item() == pytest.approx(0, abs=0.1 * spreads)


def test_noise_is_never_the_same_again():
    """Whatever the run's seed, which the server knows."""
    one, other = obfuscation(None, 1.0), obfuscation(None, 1.0)
    first, second, third = one(activations()), one(activations()), other(activations())
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)


def size_of(activations):
    return activations.flatten(1).square().mean(1).sqrt()


def test_images_above_the_bound_are_scaled_down_to_it_and_others_left_alone():
    bound = size_of(activations()).median().item()
    made = clipped(activations(), bound)
    above = size_of(activations()) > bound
    assert 0 < above.sum() < len(above)
    assert size_of(made)[above].tolist() == pytest.approx([bound] * int(above.sum()))
    assert torch.equal(made[~above], activations()[~above])
    cosines = torch.cosine_similarity(made.flatten(1), activations().flatten(1))
    assert cosines.tolist() == pytest.approx([1] * len(cosines))


def test_noise_is_as_wide_as_what_is_left_after_clipping_spreads():
    clip = obfuscation(0.1, 0)
    added = obfuscation(0.1, 2.0)(activations()) - clip(activations())
    assert added.std().item() == pytest.approx(2 * clip(activations()).std(correction=0).item(), rel=0.05)


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_a_gradient_along_a_clipped_image_moves_nothing(clip):
    """Whatever is clipped does not grow: the gradient passes the clipping on its way back."""
    spec = small_specs()["authors-28"]
    client = SplitClient(0, spec, Cut(1, 1, 1, 1), seed=0, dtype=DOUBLE, obscure=obfuscation(clip, 0))
    before = {key: state["main.weight"].clone() for key, state in client.segments.states().items()}
    step = client.step(random_batch(spec, 3, seed=0))
    next(step)
    tail_input = torch.zeros(3, *spec.shapes("generator")[-2], dtype=DOUBLE)
    fake, real = step.send((tail_input,)).frame
    shape = spec.shapes("discriminator")[-2]
    step.send((torch.zeros(3, *shape, dtype=DOUBLE), torch.zeros(3, *shape, dtype=DOUBLE)))
    step.send((torch.zeros_like(fake), real))
    head = ("discriminator", 0)
    moved = (client.segments.states()[head]["main.weight"] - before[head]).abs().max()
    assert (moved > 1e-5) == (clip is None)


def test_without_either_nothing_is_obscured():
    assert obfuscation(None, 0) is None


def test_only_what_comes_of_real_images_is_obscured():
    spec = small_specs()["authors-28"]
    batch = random_batch(spec, 3, seed=0)

    def crossed(obscure):
        client = SplitClient(0, spec, Cut(1, 1, 1, 1), seed=0, dtype=DOUBLE, obscure=obscure)
        step = client.step(batch)
        (head,) = next(step).frame
        shape = spec.shapes("generator")[-2]
        stream = torch.Generator().manual_seed(0)
        fake, real = step.send((torch.randn(3, *shape, generator=stream, dtype=DOUBLE),)).frame
        return head, fake, real

    plain, obscured = crossed(None), crossed(lambda real: real + 5)
    assert torch.equal(plain[0], obscured[0])
    assert torch.equal(plain[1], obscured[1])
    assert torch.equal(plain[2] + 5, obscured[2])


def test_methods_without_such_activations_refuse_it():
    for setting in ("activation_noise", "activation_clip"):
        asked = [f"privacy.{setting}=0.5"]
        assert method_of(resolved(load_config("demo", asked))).name == "huscf"
        with pytest.raises(
            ConfError, match=rf"privacy.{setting} is 0.5, but method 'fedgan' does not honour"
        ):
            method_of(load_config("demo", [*asked, "method=fedgan"]))


@pytest.mark.parametrize(
    ("setting", "nothing"), [("activation_noise", "add noise to"), ("activation_clip", "scale down")]
)
def test_a_local_discriminator_leaves_nothing_to_obscure_and_is_not_to_be_given_up_for_it(setting, nothing):
    asked = [f"privacy.{setting}=0.5", "privacy.local_discriminator=true", "fake_labels=uniform"]
    with pytest.raises(ConfError) as caught:
        method_of(load_config("demo", asked))
    assert f"crosses, so that there is nothing to {nothing}: leave it out" in str(caught.value)
    assert "false" not in str(caught.value)


def test_noise_that_takes_information_away_is_not_below_zero():
    with pytest.raises(ConfError, match="activation_noise"):
        load_config("demo", ["privacy.activation_noise=-1"])
