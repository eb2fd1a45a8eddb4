"""Which runs show what defences do: as configured, or with others in the place of the configuration's own."""

import pytest

from huscf_flwr.config import LEAST_OBSERVED
from huscf_flwr.models import Cut
from huscf_flwr.privacy.defences import AS_CONFIGURED, DEFENCES, variants
from tests.run.builders import small_run

OWN = {
    "privacy.local_discriminator": True,
    "privacy.min_observed": 1,
    "fake_labels": "uniform",
    "wire.preset": "small",
}


def variant(tmp_path, defence, cut=None, **settings):
    config = small_run(tmp_path, tmp_path, **settings)
    (found,) = variants(config, rounds=2, cuts=() if cut is None else [cut], defences=[defence])
    return found


def defended(config):
    """What a configuration has against attacks."""
    privacy = config.privacy
    return (
        config.fake_labels,
        config.wire.preset,
        privacy.local_discriminator,
        privacy.activation_clip,
        privacy.activation_noise,
        privacy.min_observed,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        OWN,
        {"privacy.activation_noise": 0.25, "privacy.activation_clip": 0.4},
        {"fake_labels": "own-mix"},
        {"wire.preset": "half"},
    ],
)
def test_a_configuration_is_audited_with_the_defences_that_it_has(tmp_path, settings):
    config = small_run(tmp_path, tmp_path, **settings)
    found = variant(tmp_path, AS_CONFIGURED, **settings)
    assert defended(found.config) == defended(config)
    assert found.replaced == ()
    assert found.config.name == "as-configured"


def test_a_cut_of_its_own_has_the_local_discriminator_that_is_configured(tmp_path):
    found = variant(tmp_path, AS_CONFIGURED, Cut(2, 2, 1, 1), **OWN)
    assert found.config.cuts.fixed == (2, 2, 5, 0)
    assert found.config.name == "as-configured-cut-2-2-5-0"


def test_a_defence_that_is_named_says_what_it_is_put_in_the_place_of(tmp_path):
    found = variant(tmp_path, "none", **OWN)
    assert defended(found.config) == ("real", "exact", False, None, 0.0, LEAST_OBSERVED)
    assert found.replaced == (
        "fake_labels: uniform",
        "wire.preset: small",
        "privacy.local_discriminator: True",
        "privacy.min_observed: 1",
    )
    local = variant(tmp_path, "local-discriminator", **OWN)
    assert defended(local.config) == ("uniform", "exact", True, None, 0.0, 1)
    assert local.replaced == ("wire.preset: small",)


@pytest.mark.parametrize("defence", DEFENCES)
def test_what_is_undefended_is_replaced_without_a_word(tmp_path, defence):
    """The runs of the documentation's tables: the same with any defence but for its own settings."""
    found = variant(tmp_path, defence)
    plain = defended(variant(tmp_path, "none").config)
    assert found.replaced == ()
    assert found.config.name == defence
    assert (defended(found.config) == plain) is (defence == "none")
