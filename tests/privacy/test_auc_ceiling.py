"""A ceiling of membership: what holds it, and what an epsilon makes of it."""

import math
from statistics import fmean
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.config import load_config
from huscf_flwr.privacy.auc_ceiling import auc_at
from huscf_flwr.privacy.audited import DroppedOut
from huscf_flwr.privacy.ceilings import Ceilings
from huscf_flwr.privacy.finding import Finding
from huscf_flwr.privacy.separation import area_under_curve

WHERE = "none, A6, which images a client trained on of client 0: "


def attack(auc, spread=0.01, able=0.9, control_off=False):
    interval = None if able is None else (able - 0.05, able + 0.05)
    return {
        "auc": auc,
        "auc_interval": (auc - spread, auc + spread),
        "able": able,
        "able_interval": interval,
        "control": 0.5,
        "control_off": control_off,
    }


def member(*attacks, **changes):
    auc = max(each["auc"] for each in attacks)
    details = {"attacks": {str(place): each for place, each in enumerate(attacks)}, **changes}
    failed = not any(each["able"] and each["able_interval"][0] > 0.5 for each in attacks)
    learns = "which images a client trained on"
    return Finding("A6", "the server", learns, "AUC", auc, 0.5, (0,), details, failed=failed)


def said(*findings, ceiling="auc=0.6", epsilon=None, dropped_out=()):
    found = SimpleNamespace(
        config=load_config("demo"),
        defence="none",
        guarantee="none",
        epsilon=epsilon,
        delta=1e-5,
        cuts=(),
        findings=findings,
        dropped_out=dropped_out,
    )
    return list(Ceilings.of([ceiling]).exceeded(found))


def test_a_client_that_dropped_out_was_not_asked():
    (told,) = said(member(attack(0.55)), dropped_out=(DroppedOut(3, "", "it left"),))
    assert told.startswith("none: client 3 dropped out of the round that was recorded")
    assert told.endswith("it left; that proves nothing")


def test_it_is_exceeded_by_what_was_found():
    assert said(member(attack(0.7))) == [f"{WHERE}auc is 0.7, above 0.6"]
    assert not said(member(attack(0.55)))


def test_it_is_exceeded_by_what_may_be_as_well():
    """By the upper end of the interval, of whichever attack."""
    (told,) = said(member(attack(0.55, 0.02), attack(0.54, 0.08)))
    assert told == f"{WHERE}auc may be 0.62, above 0.6: by 1, 0.54 was found"
    assert not said(member(attack(0.55, 0.02), attack(0.54, 0.05)))


def test_every_client_counts():
    assert len(said(member(attack(0.5)), member(attack(0.7)), member(attack(0.8)))) == 2


def test_what_was_not_asked_holds_nothing_however_little_something_else_gives_away():
    reason = "no discriminator of it crossed in this round"
    unasked = Finding("A6", "whoever is sent it", "who", "AUC", clients=(0,), reason=reason)
    (told,) = said(unasked, member(attack(0.5)))
    assert told == f"none, A6, who of client 0: not attacked, since {reason}, which proves nothing"


def test_what_cannot_be_asked_at_all_is_left_out():
    """A discriminator that is never trained, beside a generator that is: the measure is none."""
    never = Finding("A6", "the server", "who", "", clients=(0,), reason="discriminators stay as they began")
    assert not said(never, member(attack(0.5)))
    (told,) = said(never)
    assert told == "none: no attack was made that auc is of, which proves nothing"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"able": 0.64},
            "auc of 0.64, at least 0.59, where it is known who was trained on, no more than 0.6",
        ),
        ({"able": math.nan}, "no more than 0.6"),
        ({"able": None}, "nothing shows that the attack could find anything; take --shadows 4 or more"),
        ({"control_off": True}, "the control is off (0.5), so that the attack proves nothing"),
    ],
)
def test_an_attack_that_could_not_have_found_anything_holds_no_ceiling(changes, told):
    (found,) = said(member(attack(0.5, **changes)))
    assert told in found
    # Beside one that could, it takes nothing away.
    assert not said(member(attack(0.5, **changes), attack(0.5)))


def test_under_an_epsilon_an_attack_that_finds_nothing_anywhere_holds_none_and_says_what_would():
    """Where noise is seeded: with secret noise the guarantee alone is asked."""
    (told,) = said(member(attack(0.5, able=0.5), under_epsilon=2.0))
    assert "consistent with epsilon 2, proves nothing by itself; only secret noise bounds anything" in told
    assert "control is off" not in said(member(attack(0.5, able=0.5, control_off=True), under_epsilon=2.0))[0]


def test_an_epsilon_bounds_it_whatever_an_attack_has_found():
    """By 1 / (1 + e^-2), 0.881, at epsilon 1."""
    failed = member(attack(0.5, able=0.5), under_epsilon=1.0)
    assert not said(failed, epsilon=1.0, ceiling="auc=0.89")
    (told,) = said(failed, epsilon=1.0, ceiling="auc=0.88")
    assert "epsilon 1 allows an auc of 0.881, above 0.88" in told


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_the_bound_holds_where_an_image_is_ranked_against_another_and_not_against_none(epsilon):
    """Half of all images are 1, half are -1; their sum has Laplace noise, so that epsilon bounds one of them.

    One image is a member, the other is not, and all else is known. The score is the rest of the sum times
    the image. A member of 1 beside another of -1 ranks rightly if 1 + noise > 0, and so does a member of -1:
    1 - e^-epsilon / 2 of all times, which is more than e^epsilon / (1 + e^epsilon), the bound for an image or
    none. Pairs of two equal images are ties, and left out: they are known to tell nothing.
    """
    stream = torch.Generator().manual_seed(0)
    member = torch.randint(2, (4000,), generator=stream).double() * 2 - 1
    uniform = torch.rand(len(member), generator=stream, dtype=torch.float64) - 0.5
    noise = -uniform.sign() * (1 - 2 * uniform.abs()).log() / epsilon
    score = member * (member + noise)
    counted = fmean(area_under_curve(each, -each) for each in score.split(1))

    expected = 1 - math.exp(-epsilon) / 2
    assert counted == pytest.approx(expected, abs=0.025)
    assert expected > 1 / (1 + math.exp(-epsilon))
    assert expected <= auc_at(epsilon, 0.0)


@given(st.floats(0, 2000), st.floats(0, 0.5))
def test_the_bound_solves_its_inequality_and_never_falls(epsilon, delta):
    found = auc_at(epsilon, delta)
    assert 0.5 <= found <= 1
    assert found <= auc_at(epsilon + 0.1, delta)
    if found < 1 and epsilon < 10:
        group = delta * (1 + math.exp(epsilon))
        assert found == pytest.approx(math.exp(2 * epsilon) * (1 - found) + group)
