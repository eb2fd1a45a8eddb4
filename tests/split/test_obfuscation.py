"""Noise on activations of real images: how wide it is, whose it is, and what it leaves alone."""

import pytest
import torch

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import load_config
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.models import Cut
from huscf_flwr.split import ActivationNoise, SplitClient
from tests.models.specs import small_specs
from tests.split.builders import DOUBLE, random_batch


def activations():
    return 3 + 2 * torch.randn(8, 4, 25, 25, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spreads", [0.5, 2.0])
def test_noise_is_so_many_times_as_wide_as_activations_spread(spreads):
    added = ActivationNoise(spreads)(activations()) - activations()
    assert added.std().item() == pytest.approx(2 * spreads, rel=0.05)
    assert added.mean().item() == pytest.approx(0, abs=0.1 * spreads)


def test_noise_is_never_the_same_again():
    """Whatever the run's seed, which the server knows."""
    one, other = ActivationNoise(1.0), ActivationNoise(1.0)
    first, second, third = one(activations()), one(activations()), other(activations())
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)


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
    asked = ["privacy.activation_noise=0.5"]
    assert method_of(resolved(load_config("demo", asked))).name == "huscf"
    for other in ("method=fedgan", "privacy.local_discriminator=true"):
        with pytest.raises(
            ConfError, match=r"privacy.activation_noise is 0.5, but method '\w+' does not honour"
        ):
            method_of(load_config("demo", [*asked, other, "fake_labels=uniform"]))


def test_noise_that_takes_information_away_is_not_below_zero():
    with pytest.raises(ConfError, match="activation_noise"):
        load_config("demo", ["privacy.activation_noise=-1"])
