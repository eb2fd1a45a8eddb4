"""States and settings of FedVTC that cannot be."""

import pytest
import torch

from tests.methods.fedvtc.plain_rounds import images_with


def test_a_state_of_other_features_is_refused(make):
    training = make()
    other = training.method.state().tensors | {"means": torch.zeros(10, 7)}
    with pytest.raises(
        ValueError, match=r"has statistics of features: means as .* \(10, 7\), not .* \(10, 6\)"
    ):
        training.method.load(type(training.method.state())({}, other))


def test_a_run_that_has_tuned_has_no_more_rounds(make):
    training = make(rounds=2)
    for _ in range(3):
        training.train()
    make(name="same", rounds=2).method.load(training.method.state())
    with pytest.raises(ValueError, match=r"rounds is 4, .* in round 3, and .*: set rounds=2, or begin anew"):
        make(name="more", rounds=4).method.load(training.method.state())


def test_a_class_that_the_model_lacks_is_refused(make):
    with pytest.raises(ValueError, match=r"client 0 holds the classes \(10,\), but model.spec"):
        make({0: images_with([10] * 5, 0)})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alignment": 0.1}, "fedvtc.alignment is 0.1"),
        ({"spread": "learned"}, "fedvtc.spread is learned"),
        ({"spread_rule": "total"}, "fedvtc.spread_rule is total"),
        ({"matching": 1.0, "matching_form": "image"}, "fedvtc.matching_form is image"),
    ],
)
def test_what_needs_the_spread_of_features_is_refused_where_they_are_whitened(make, settings, said):
    given = {f"fedvtc.{key}": value for key, value in settings.items()}
    training = make(**given)
    with pytest.raises(ValueError, match=f"{said}, which needs .* set latents to recentred or sampled"):
        type(training.method).check(training.config)
    training = make(name="recentred", **given, **{"fedvtc.latents": "recentred"})
    type(training.method).check(training.config)


@pytest.mark.parametrize(
    ("key", "value"),
    [("matching", -1), ("tuning", "soon"), ("least_count", 0), ("adversarial", -1), ("latents", "white")],
)
def test_settings_that_cannot_be_are_refused_before_anybody_has_joined(make, key, value):
    with pytest.raises(ValueError, match=r"fedvtc\."):
        training = make(**{f"fedvtc.{key}": value})
        type(training.method).check(training.config)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"latents": "recentred", "latent_spread": 3.0}, "latent_spread is 3.0.*fedvtc.latents is recentred"),
        (
            {"adversarial": 0.0, "critic_learning_rate": 0.1},
            "critic_learning_rate is 0.1.*fedvtc.adversarial is 0",
        ),
        (
            {"latents": "recentred", "latent_directions": 8},
            "latent_directions is 8.*latents is recentred",
        ),
        (
            {"distillation_steps": 0, "distillation_learning_rate": 0.1},
            "distillation_learning_rate is 0.1.*distillation_steps is 0",
        ),
        (
            {"share_decoder": False, "distillation_learning_rate": 0.1},
            "distillation_learning_rate is 0.1.*share_decoder is False",
        ),
        ({"spread_learning_rate": 0.1}, "spread_learning_rate is 0.1.*fedvtc.spread is measured"),
        ({"divergence": 2.0}, "divergence is 2.0.*fedvtc.spread is measured"),
        ({"alignment_rounds": 5}, "alignment_rounds is 5.*fedvtc.alignment is 0"),
        ({"matching_form": "image"}, "matching_form is image.*fedvtc.matching is 0"),
        ({"matching_at_once": 5}, "matching_at_once is 5.*fedvtc.matching is 0"),
        ({"matching_images": 4}, "matching_images is 4.*fedvtc.matching is 0"),
        ({"tuning_real": "none", "tuning_repeats": 2}, "tuning_repeats is 2.*fedvtc.tuning_real is none"),
        ({"tuning": "never", "tuning_repeats": 2}, "tuning_repeats is 2.*fedvtc.tuning is never"),
    ],
)
def test_a_setting_that_another_one_makes_idle_is_refused(make, settings, said):
    training = make(**{f"fedvtc.{key}": value for key, value in settings.items()})
    with pytest.raises(ValueError, match=said):
        type(training.method).check(training.config)


def test_what_a_mode_sets_may_be_idle_where_its_cause_is_switched_off(make):
    training = make(mode="paper", **{"fedvtc.matching": 0.0, "fedvtc.tuning": "never"})
    type(training.method).check(training.config)
