"""Ceilings: for somebody's continuous integration."""

from types import SimpleNamespace

import pytest

from huscf_flwr.models import Cut
from huscf_flwr.privacy.ceilings import Ceilings
from huscf_flwr.privacy.finding import Finding
from huscf_flwr.privacy.findings import CutFindings, StepFindings


def audited(psnr=25.0, labels=0.1, auc=None):
    step = StepFindings(1, "A1", psnr, psnr + 2, 0.2, labels)
    cut = CutFindings(Cut(), (0,), (step,), 1.0, 0.9, 12.0, 0.2)
    member = Finding("A6", "the server", "which images a client trained on", "AUC", auc, 0.5)
    return SimpleNamespace(defence="none", guarantee="none", cuts=(cut,), findings=(member,))


def test_a_value_above_its_ceiling_is_told():
    (said,) = Ceilings.of(["psnr=24"]).exceeded(audited())
    assert said == "none, cut 1-1-1-1, step 1: psnr is 25 dB, above 24"


def test_values_below_and_at_their_ceilings_are_not():
    assert not list(Ceilings.of(["psnr=25", "labels=0.5"]).exceeded(audited()))


def test_attacks_that_failed_hold_no_ceiling():
    (said,) = Ceilings.of(["psnr=99"]).exceeded(audited(psnr=15))
    assert "prove nothing" in said
    assert not list(Ceilings.of([]).exceeded(audited(psnr=15)))


def test_membership_has_a_ceiling_of_its_own():
    (said,) = Ceilings.of(["auc=0.6"]).exceeded(audited(auc=0.7))
    assert said == "none, A6, which images a client trained on: auc is 0.7, above 0.6"
    assert not list(Ceilings.of(["auc=0.7"]).exceeded(audited(auc=0.7)))


def test_a_ceiling_of_what_nobody_attacked_is_not_held():
    (said,) = Ceilings.of(["auc=0.9"]).exceeded(audited())
    assert said == "none: no attack was made that auc is of, which proves nothing"
    nothing = SimpleNamespace(defence="none", guarantee="none", cuts=(), findings=())
    (said,) = Ceilings.of(["psnr=90"]).exceeded(nothing)
    assert "no attack was made that psnr is of" in said


def test_labels_have_a_ceiling_where_no_image_crosses_too():
    cut = CutFindings(Cut(), (0,), (), 1.0, 0.9, 12.0, 0.2, labels=0.4)
    found = SimpleNamespace(defence="local-discriminator", guarantee="none", cuts=(cut,), findings=())
    (said,) = Ceilings.of(["labels=0.3"]).exceeded(found)
    assert said == "local-discriminator, cut 1-1-1-1: labels is 0.4, above 0.3"
    assert not list(Ceilings.of(["labels=0.4"]).exceeded(found))


def test_what_is_not_a_number_holds_no_ceiling():
    assert list(Ceilings.of(["labels=0.5"]).exceeded(audited(labels=float("nan"))))


@pytest.mark.parametrize(
    ("text", "message"),
    [("psrn=3", "did you mean 'psnr'"), ("psnr", "'' is no number"), ("labels=inf", "'inf' is no number")],
)
def test_what_is_no_ceiling_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        Ceilings.of([text])
