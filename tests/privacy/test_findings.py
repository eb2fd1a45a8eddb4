"""What audits of clients come to, and how it is said."""

from dataclasses import replace
from math import nan

import pytest
import torch

from huscf_flwr.models import Cut
from huscf_flwr.privacy.audit import Attacked, ClientAudit, LabelsRead
from huscf_flwr.privacy.findings import findings_by_cut
from huscf_flwr.privacy.verdict import verdict

LIGHT, DEEP = Cut(), Cut(1, 1, 2, 1)
TRUTH = torch.zeros(4, 1, 14, 14)


def attacked(attack, step, error, right=4):
    labels = torch.arange(4) < right
    return Attacked(attack, step, TRUTH + error, TRUTH, labels)


def audit(client, *attacks, cut=LIGHT, labels_known=1.0, read=(), **changes):
    return ClientAudit(
        client, cut, attacks, read, labels_known, 0.9, mean_image=12.0, majority=0.3, **changes
    )


def test_the_best_attack_of_each_step_over_all_clients_of_a_cut():
    """An error of 0.2 is 20 dB, one of 0.02 is 40."""
    (found,) = findings_by_cut(
        [
            audit(0, attacked("A1", 1, 0.2), attacked("A2", 1, 0.02), attacked("A1", 5, 0.02)),
            audit(1, attacked("A1", 1, 0.2), attacked("A2", 1, 0.02, right=2), attacked("A1", 5, 0.02)),
        ]
    )
    assert found.clients == (0, 1)
    assert [(step.step, step.attack) for step in found.steps] == [(1, "A2"), (5, "A1")]
    assert [step.psnr for step in found.steps] == pytest.approx([40, 40], abs=1e-4)
    # A1 had all of them right.
    assert found.steps[0].labels == 1


def test_cuts_are_kept_apart():
    found = findings_by_cut([audit(0, attacked("A1", 1, 0.2)), audit(1, attacked("A1", 1, 0.2), cut=DEEP)])
    assert [each.name for each in found] == ["1-1-1-1", "1-1-2-1"]


def test_what_nobody_saw_is_not_averaged():
    unknown = audit(0, attacked("A1", 1, 0.2), labels_known=None)
    known = audit(1, attacked("A1", 1, 0.2), labels_known=0.5)
    assert findings_by_cut([unknown, known])[0].labels_known == 0.5
    assert findings_by_cut([unknown])[0].labels_known is None


def test_the_client_that_gives_most_away_counts_and_not_what_others_make_up_for():
    """Images of client 1 are seen at 146 dB, and those of client 0 at 22: the median of all is neither."""
    hidden, seen = audit(0, attacked("A1", 1, 0.15, right=0)), audit(1, attacked("A1", 1, 1e-7))
    (found,) = findings_by_cut([hidden, seen])
    assert found.steps[0].psnr == pytest.approx(146, abs=0.1)
    assert (found.steps[0].labels, found.labels) == (1, 1)
    assert found.failed_clients == (0,)
    assert not found.failed
    assert findings_by_cut([hidden])[0].failed


@pytest.mark.parametrize(
    ("error", "cut", "failed"),
    [(0.001, LIGHT, False), (0.003, LIGHT, True), (0.1, DEEP, False), (0.2, DEEP, True)],
)
def test_an_attack_below_its_floor_in_the_first_step_has_failed(error, cut, failed):
    """Errors of 0.001, 0.003, 0.1 and 0.2 are 66, 56, 26 and 20 dB; floors are 60 and 25."""
    (found,) = findings_by_cut([audit(0, attacked("A1", 1, error), attacked("A1", 9, 0.5), cut=cut)])
    assert found.failed is failed
    assert found.as_json()["failed"] is failed


@pytest.mark.parametrize(
    ("noise", "control", "failed"),
    [(1.0, 33.0, False), (1.0, 29.0, True), (1.0, nan, True), (1e-9, 33.0, True)],
)
def test_noise_excuses_an_attack_only_if_it_is_wide_and_the_attack_works_in_little_noise(
    noise, control, failed
):
    """An error of 0.3 is 16 dB."""
    (found,) = findings_by_cut([audit(0, attacked("A1", 1, 0.3), noise=noise, control=control)])
    assert (found.failed, found.control) == (failed, pytest.approx(control, nan_ok=True))
    assert ("which proves nothing" in verdict([found])[0]) is failed


@pytest.mark.parametrize(("noise", "below"), [(1.0, 6.0), (2.0, 0.3), (8.0, 0.8)])
def test_an_attack_in_wide_noise_that_has_less_than_the_mean_image_has_failed(noise, below):
    """The mean image has 12 dB; so far below, and no label."""
    error = 2 * 10 ** ((below - 12) / 20)
    (found,) = findings_by_cut([audit(0, attacked("A1", 1, error, right=0), noise=noise, control=33.0)])
    assert found.failed
    assert found.most["labels"].below == (0,)
    above = findings_by_cut([audit(0, attacked("A1", 1, 0.45), noise=noise, control=33.0)])
    assert not above[0].failed


@pytest.mark.parametrize(
    ("error", "cut", "failed"),
    [(0.1, LIGHT, ()), (0.2, LIGHT, (0,)), (0.2, DEEP, ()), (0.3, DEEP, (0,)), (1.0, Cut(1, 1, 3, 1), ())],
)
def test_an_attack_has_a_floor_later_in_a_round_too_but_for_heads_that_nobody_has_measured(
    error, cut, failed
):
    """Errors of 0.1, 0.2 and 0.3 are 26, 20 and 16 dB; floors are 25 and 18."""
    (found,) = findings_by_cut([audit(0, attacked("A1", 1, 1e-4), attacked("A2", 20, error), cut=cut)])
    assert found.steps[1].failed_clients == failed
    assert (found.steps[1].floor is None) == (cut.discriminator_head == 3)
    assert found.failed_clients == ()


def test_labels_have_a_floor_where_activations_cross_and_sets_of_labels_have_one():
    some = audit(0, attacked("A1", 1, 1e-4), attacked("A1", 9, 1e-4, right=3), labels_known=0.9)
    every = audit(1, attacked("A1", 1, 1e-4), attacked("A1", 9, 1e-4), labels_known=1.0)
    (found,) = findings_by_cut([some, every])
    assert (found.most["labels"].below, found.most["label_set"].below) == ((0,), (0,))
    guessed = audit(0, cut=Cut(1, 1, 5, 0), read=(LabelsRead(1, torch.tensor([True, False])),))
    assert findings_by_cut([guessed])[0].most["labels"].below == ()


def test_beside_what_is_had_most_is_what_guessing_gives_of_the_same_client():
    """Client 1 has the worse guesses, and means of both are between."""
    one = replace(audit(0, attacked("A1", 1, 1e-2), labels_known=0.9), mean_image=20.0, majority=0.9)
    most = replace(audit(1, attacked("A1", 1, 1e-4)), mean_image=10.0, majority=0.1, labels_present=0.5)
    (found,) = findings_by_cut([one, most])
    assert (found.mean_image, found.majority) == (15, 0.5)
    had = {name: (each.client, each.chance) for name, each in found.most.items()}
    assert had == {"psnr": (1, 10), "labels": (1, 0.1), "label_set": (1, 0.5)}
    assert found.as_json()["most"]["psnr"]["client"] == 1


def test_labels_that_were_read_without_images_count():
    read = LabelsRead(1, torch.tensor([True, True, True, False]))
    (found,) = findings_by_cut([audit(0, attacked("A1", 1, 0.5, right=1), read=(read,))])
    assert found.steps[0].labels == 0.75


def test_labels_that_were_read_alone_have_a_floor_where_activations_cross():
    """And nothing is said of images, on which no attack was made."""
    read = LabelsRead(1, torch.tensor([True, True, True, False]))
    (found,) = findings_by_cut([audit(0, read=(read,))])
    assert (found.sees_images, found.activations_cross, found.failed) == (False, True, False)
    assert (found.labels, found.most["labels"].below, found.failed_clients) == (0.75, (0,), ())
    sentence, _ = verdict([found])
    assert sentence.startswith("of clients with cut 1-1-1-1, by the labels of fakes the server gets 75%")
    assert sentence.endswith("no attack was made on their images")
    (unread,) = findings_by_cut([audit(0)])
    assert unread.most.keys() == {"label_set"}


def test_the_verdict_says_what_is_seen():
    seen, hidden = findings_by_cut(
        [audit(0, attacked("A1", 1, 0.001)), audit(1, attacked("A1", 1, 0.5, right=1), cut=DEEP)]
    )
    first, _, second, _ = verdict([seen, hidden])
    assert first.startswith("the server sees the images of clients with cut 1-1-1-1: 66 dB")
    assert "not all that can be had" not in first
    assert "clients with cut 1-1-2-1 failed (12 dB" in second
    assert "which proves nothing" in second
    assert second.endswith("25% of the labels of a batch")


def test_images_that_are_seen_although_the_attack_is_below_its_floor_are_told_as_seen():
    sentence, _ = verdict(findings_by_cut([audit(0, attacked("A1", 1, 0.1))]))
    assert sentence.startswith("the server sees the images of clients with cut 1-1-1-1: 26 dB")
    assert sentence.endswith("so this is not all that can be had")


def test_where_no_activation_of_a_real_image_crosses_nothing_is_attacked_and_nothing_has_failed():
    """The fakes' labels are read, and are right for one image in four, as it happens."""
    read = LabelsRead(1, torch.tensor([True, False, False, False]))
    (found,) = findings_by_cut([audit(0, cut=Cut(1, 1, 5, 0), labels_known=None, read=(read,))])
    assert (found.steps, found.sees_images, found.failed, found.labels) == ((), False, False, 0.25)
    (sentence,) = verdict([found])
    assert sentence.startswith("no activation of a real image crosses from clients with cut 1-1-5-0; ")
    assert (
        "the server gets 25% of the labels of a batch, where the most frequent label is that of 30%"
        in sentence
    )
    (silent,) = findings_by_cut([audit(0, cut=Cut(2, 1, 5, 0), labels_known=None)])
    assert silent.labels is None
    assert found.as_json()["sees_images"] is False
