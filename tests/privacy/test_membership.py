"""The controls of A6: that it finds training and nothing else, and that it could find something."""

import pytest
import torch

from huscf_flwr.privacy.attacks.membership import (
    COMPARISONS,
    calibrated,
    likelihood_ratio,
)
from huscf_flwr.privacy.finding import Finding, as_json
from huscf_flwr.privacy.membership import details_of, scored
from huscf_flwr.privacy.shadows import halves
from huscf_flwr.privacy.table import measured

MEMBERS, OTHERS = 300, 500


def details(*compared, shift=0.0, learnt=2.0, shadows=4, scale=1.0, noise=1.0):
    """What is told of a target that has learnt its members as well as shadow models have theirs.

    Its scores are ``scale`` times theirs.

    Every second model scores all members higher by ``shift``, whether it was trained on them or not: they
    differ from the others by more than training.
    """
    stream = torch.Generator().manual_seed(0)
    count = MEMBERS + OTHERS
    inside = halves(count, shadows, seed=0)
    is_member = torch.arange(count) < MEMBERS
    image = 3 * torch.randn(count, generator=stream)

    def by_model(saw, number):
        odd = shift * is_member * (number % 2 == 0)
        return image + learnt * saw + odd + noise * torch.randn(count, generator=stream)

    target = scale * by_model(is_member, 0)
    models = torch.stack([by_model(inside[each], each // 2) for each in range(shadows)])
    claims = {each.__name__: scored(target, models, inside, each) for each in compared}
    return details_of(claims, MEMBERS)


@pytest.mark.parametrize("compare", [likelihood_ratio, calibrated])
def test_training_is_found_and_both_controls_say_so(compare):
    found = details(compare)
    assert found["auc"] > 0.7
    assert not found["control_off"]
    assert found["able_interval"][0] > 0.6


def test_members_that_differ_by_more_than_training_put_the_control_off():
    """Although no model has learnt anything, the attack seems to find members."""
    found = details(calibrated, shift=3.0, learnt=0.0)
    assert found["auc"] > 0.7
    assert found["control_off"]
    assert abs(found["control"] - 0.5) > 0.1


@pytest.mark.parametrize("compare", [likelihood_ratio, calibrated])
def test_an_attack_that_finds_nothing_where_something_is_known_to_be_says_so(compare):
    found = details(compare, learnt=0.0)
    low, high = found["able_interval"]
    assert low <= 0.5 <= high


def test_a_target_on_another_scale_than_its_shadows_gives_its_members_away_by_itself():
    """What shadow models make of images then says nothing of it; both controls of these look healthy."""
    learnt = {"learnt": 8.0, "scale": 0.01}
    for blind in (details(likelihood_ratio, **learnt), details(calibrated, **learnt)):
        assert blind["auc"] < 0.6
        assert blind["able"] > 0.9
        assert not blind["control_off"]
    found = details(*COMPARISONS.values(), **learnt)
    assert (found["attack"], len(found["attacks"])) == ("uncalibrated", 3)
    assert found["auc"] == found["attacks"]["uncalibrated"]["auc"] > 0.9


def test_the_best_attack_counts_and_its_interval_is_as_wide_as_the_choice_takes():
    alone = details(calibrated)
    found = details(*COMPARISONS.values())
    assert found["auc"] == max(each["auc"] for each in found["attacks"].values())
    low, high = found["attacks"]["calibrated"]["auc_interval"]
    assert low < alone["auc_interval"][0] < alone["auc_interval"][1] < high


def test_two_shadow_models_are_too_few_for_controls():
    found = details(calibrated, shadows=2)
    assert found["auc"] > 0.7
    assert (found["control"], found["able"]) == (None, None)


def test_each_image_is_scored_by_a_shadow_model_that_saw_it_and_by_one_that_did_not():
    inside = halves(10, 4, seed=0)
    found = scored(torch.zeros(10), inside.float(), inside, lambda target, *_: target)
    assert (found.seen, found.unseen) == (pytest.approx(torch.ones(10)), pytest.approx(torch.zeros(10)))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "; control 0."),
        ({"shift": 3.0, "learnt": 0.0}, " is off: 0."),
        ({"shadows": 2}, "no control with fewer than 4 shadow models"),
        ({}, "calibrated 0."),
    ],
)
def test_the_table_says_if_the_control_is_off(settings, told):
    values = details(calibrated, **settings)
    found = Finding("A6", "the server", "who", "AUC", values["auc"], 0.5, (0,), values)
    assert told in measured(found)
    assert ("is off" in measured(found)) == (" is off" in told)


def test_the_table_says_how_many_attacks_were_tried_and_what_each_has():
    values = details(*COMPARISONS.values())
    told = measured(Finding("A6", "the server", "who", "AUC", values["auc"], 0.5, (0,), values))
    assert f"the best of 3 attacks, {values['attack']} (likelihood_ratio 0." in told


def test_under_an_epsilon_an_attack_that_finds_nothing_is_consistent_with_it_and_no_control_is_off():
    values = {**details(calibrated, shift=3.0, learnt=0.0), "under_epsilon": 1.0}
    found = Finding("A6", "the server", "who", "AUC", values["auc"], 0.5, (0,), values, failed=True)
    told = measured(found)
    assert "finds nothing in models that are known either: consistent with epsilon 1, proves nothing" in told
    assert "is off" not in told
    without = Finding("A6", "", "who", "AUC", 0.5, 0.5, (0,), {**values, "under_epsilon": None}, failed=True)
    assert "; attack failed, proves nothing" in measured(without)
    assert "is off" in measured(without)
    assert as_json(found)["failure"] == found.failure
