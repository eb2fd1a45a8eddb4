"""Ceilings: for somebody's continuous integration, which takes silence for safety."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from huscf_flwr.config import load_config
from huscf_flwr.models import Cut
from huscf_flwr.privacy.audited import DroppedOut
from huscf_flwr.privacy.ceilings import Ceilings
from huscf_flwr.privacy.finding import (
    DISTANCE,
    KNOWN,
    MEANS,
    NO_ACTIVATIONS,
    PSNR,
    SSIM,
    VARIATION,
    Finding,
    Most,
)
from huscf_flwr.privacy.findings import CutFindings, StepFindings

COPIED = Finding(
    *("A4", "a server that sends other blocks", "images", "PSNR, dB, the median", 134.0, 12.0, (0,)),
    details={"labels": 1.0, "psnr_worst_decile": 140.0, "ssim": 1.0},
)
HAD = {"label_set": Most(0, 1.0, 0.9)}


LOCAL = Cut(1, 1, 5, 0)


def cut_of(psnr=61.0, labels=0.1, failed_clients=(), **changes):
    step = StepFindings(1, "A1", psnr, psnr + 2, 0.2, labels, failed_clients=failed_clients)
    return CutFindings(Cut(), (0,), (step,), 1.0, 0.9, 12.0, 0.2, **changes)


def audited(*findings, cuts=(), epsilon=None, guarantee="none", dropped_out=(), settings=()):
    return SimpleNamespace(
        unattacked="",
        config=load_config("demo", settings),
        defence="none",
        guarantee=guarantee,
        epsilon=epsilon,
        delta=1e-5,
        cuts=cuts,
        findings=findings,
        dropped_out=dropped_out,
    )


def said(found, *texts):
    return list(Ceilings.of(texts).exceeded(found))


def test_a_value_above_its_ceiling_is_told():
    (told,) = said(audited(cuts=[cut_of(61)]), "psnr=60")
    assert told == "none, cut 1-1-1-1, step 1: psnr is 61 dB, above 60"


def test_values_below_and_at_their_ceilings_are_not():
    assert not said(audited(cuts=[cut_of(61)]), "psnr=61", "labels=0.5")


@pytest.mark.parametrize(
    ("rounds", "observed", "holds"),
    [(2, 100, True), (2, 99, False), (7, 105, True), (7, 104, False), (25, 100, False)],
)
def test_statistics_of_few_images_hold_no_ceiling_of_images(rounds, observed, holds):
    """They give images away, the more the more rounds, and no attack of the command is made on them."""
    local = ("privacy.local_discriminator=true", f"privacy.min_observed={observed}")
    settings = [*local, f"rounds={rounds}"]
    local = CutFindings(LOCAL, (0,), (), 1.0, 0.9, 12.0, 0.2, most=HAD)
    told = said(audited(cuts=[local], settings=settings), "psnr=20")
    assert not told if holds else f"privacy.min_observed is {observed} with {rounds} rounds" in told[0]
    assert not said(audited(cuts=[local], settings=settings), "label_set=1")


def test_attacks_that_failed_hold_no_ceiling():
    """Of any client: that others are well hidden says nothing of it."""
    found = audited(cuts=[cut_of(15, failed_clients=(0,))])
    (told,) = said(found, "psnr=99")
    assert told == "none, cut 1-1-1-1: the attacks failed on client 0, and prove nothing"
    assert not said(found)


@pytest.mark.parametrize(
    ("ceiling", "value"), [("psnr=60", "134 dB"), ("labels=0.5", "1"), ("ssim=0.9", "1")]
)
def test_other_attacks_on_images_count_too(ceiling, value):
    """Noise blurs what A1 gets; a server that is not honest copies the images all the same."""
    name = ceiling.partition("=")[0]
    (told,) = said(audited(COPIED, cuts=[cut_of(17, noise=2.0)]), ceiling)
    assert told.startswith(f"none, A4, images: {name} is {value}, above ")


def test_another_attack_that_failed_holds_no_ceiling():
    failed = Finding(*("A5", "the server", "images", "PSNR, dB, the median", 9.0, 12.0, (0,)), failed=True)
    (told,) = said(audited(failed, cuts=[cut_of(17)]), "psnr=20")
    assert told == "none, A5, images: the attack failed, and proves nothing"


@pytest.mark.parametrize("attack", ["A5", "A4-gradients"])
def test_an_attack_that_reads_no_labels_holds_no_ceiling_of_labels(attack):
    """It may exceed one of images, and by itself holds none: there are better ones."""
    details = {"ssim": 0.2, "psnr_worst_decile": 24.0, "label_means": 15.0}
    images = Finding(attack, "the server", "images", "PSNR, dB, the median", 23.0, 12.0, (0,), details)
    (told,) = said(audited(images), "labels=0.01")
    assert told == "none: no attack was made that says whether a ceiling of labels holds"
    assert not said(audited(images, cuts=[cut_of(20)]), "psnr=30", "ssim=0.5", "psnr_worst_decile=30")
    assert said(audited(images), "psnr=30") == [
        "none: no attack was made that says whether a ceiling of psnr holds"
    ]


def test_who_could_not_be_attacked_is_told():
    why = {1: "a head of 2 blocks has no room for a trap"}
    (told,) = said(audited(replace(COPIED, untried=why), cuts=[cut_of()]), "psnr=150")
    assert told == f"none, A4, images: not tried on client 1 ({why[1]}), which proves nothing"
    nobody = Finding("A4", "a server", "images", "PSNR, dB, the median", reason=why[1], untried=why)
    assert said(audited(nobody, cuts=[cut_of()]), "psnr=150") == [told]
    assert said(audited(nobody, cuts=[cut_of()]), "labels=0.5") == [told]


def test_who_left_when_it_was_attacked_has_withstood_that():
    left = Finding("A4", "a server", "images", "PSNR, dB, the median", withstood={0: "it has found it"})
    assert not said(audited(left, cuts=[cut_of(17)]), "psnr=20", "labels=0.5")
    assert said(audited(left), "psnr=20") == [
        "none: no attack was made that says whether a ceiling of psnr holds"
    ]


@pytest.mark.parametrize("ceiling", ["psnr=99", "labels=1", "label_set=1"])
def test_who_has_dropped_out_of_the_round_holds_no_ceiling(ceiling):
    lost = DroppedOut(3, "1-1-2-1", "it has 5 images")
    told = said(audited(cuts=[cut_of(most=HAD)], dropped_out=(lost,)), ceiling)
    assert told == [
        "none: client 3, with cut 1-1-2-1, dropped out of the round that was recorded, and was not attacked: "
        "it has 5 images; that proves nothing"
    ]
    assert not said(audited(dropped_out=(lost,), epsilon=1.0), "epsilon=1")


def test_later_steps_and_labels_in_which_attacks_failed_hold_none_either():
    later = StepFindings(9, "A2", 15.0, 15.0, 0.2, 0.1, 25.0, (0,))
    cut = replace(cut_of(15), steps=(*cut_of(15).steps, later))
    (told,) = said(audited(cuts=[cut]), "psnr=99")
    assert told == "none, cut 1-1-1-1, step 9: the attacks failed on client 0, and prove nothing"
    read = cut_of(most={"labels": Most(0, 0.1, 0.2, below=(0,))})
    (told,) = said(audited(cuts=[read]), "labels=0.5")
    assert told == "none, cut 1-1-1-1: the attacks on labels failed on client 0, and prove nothing"


def test_the_mix_of_labels_has_a_ceiling_that_a_near_guess_is_above():
    """One less the total variation, of the client whose mix is known best."""
    mix = Finding("A3", "the server", "how often", VARIATION, 0.1, 0.4, (0, 1), most=Most(1, 0.01, 0.3))
    (told,) = said(audited(mix), "label_mix=0.9")
    assert told == "none, A3, how often: label_mix is 0.99, above 0.9"
    assert not said(audited(mix), "label_mix=0.99")
    assert "the attack failed, and" in said(audited(replace(mix, failed=True)), "label_mix=0.99")[0]
    other = replace(mix, failed=True, most=Most(1, 0.01, 0.3, below=(0,)))
    assert "the attack failed on client 0, and" in said(audited(other), "label_mix=0.99")[0]
    assert other.failure == "attack failed on client 0, proves nothing"
    assert said(audited(), "label_mix=1") == [
        "none: no attack was made that says whether a ceiling of label_mix holds"
    ]


def test_the_set_of_labels_has_a_ceiling_of_cuts_and_of_findings():
    known = Finding("A3", "the server", "which", KNOWN, 0.9, 0.8, (0, 1), most=Most(1, 1.0, 0.3))
    (told,) = said(audited(known), "label_set=0.95")
    assert told == "none, A3, which: label_set is 1, above 0.95"
    (told,) = said(audited(cuts=[cut_of(most=HAD)]), "label_set=0.95")
    assert told == "none, cut 1-1-1-1: label_set is 1, above 0.95"
    (told,) = said(audited(cuts=[cut_of()]), "label_set=0.95")
    assert told == "none, cut 1-1-1-1: label_set was not read, which proves nothing"


def test_a_ceiling_of_what_nobody_attacked_is_not_held():
    (told,) = said(audited(cuts=[cut_of()]), "auc=0.9")
    assert told == "none: no attack was made that auc is of, which proves nothing"
    (told,) = said(audited(), "psnr=90")
    assert "no attack was made that says whether a ceiling of psnr holds" in told


def test_labels_have_a_ceiling_where_no_image_crosses_too():
    cut = CutFindings(LOCAL, (0,), (), 1.0, 0.9, 12.0, 0.2, labels=0.4)
    (told,) = said(audited(cuts=[cut]), "labels=0.3")
    assert told == "none, cut 1-1-5-0: labels is 0.4, above 0.3"
    assert not said(audited(cuts=[cut]), "labels=0.4")


def test_labels_that_were_not_read_hold_no_ceiling():
    """Nobody has an attack for a generator's head of two blocks: somebody may."""
    unread = CutFindings(Cut(2, 1, 5, 0), (0,), (), None, 0.9, 12.0, 0.2, labels=None)
    (told,) = said(audited(cuts=[unread]), "labels=0.2")
    assert told.startswith("none, cut 2-1-5-0: labels were not read, which proves nothing: no attack here")
    assert "head of 2 blocks" in told
    plain = replace(unread, cut=LOCAL)
    assert said(audited(cuts=[plain]), "labels=0.2") == [
        "none, cut 1-1-5-0: labels were not read, which proves nothing"
    ]
    assert not said(audited(cuts=[unread]), "psnr=20")


@pytest.mark.parametrize("name", ["labels", "psnr", "ssim"])
def test_what_is_not_a_number_holds_no_ceiling(name):
    step = StepFindings(1, "A1", *[math.nan] * 4)
    cut = CutFindings(Cut(), (0,), (step,), 1.0, 0.9, 12.0, 0.2)
    assert said(audited(cuts=[cut]), f"{name}=0.5")


def test_epsilon_has_a_ceiling_and_only_real_noise_is_below_it():
    assert not said(audited(epsilon=2.0), "epsilon=2")
    (told,) = said(audited(epsilon=2.5), "epsilon=2")
    assert told == "none: epsilon is 2.5, above 2"
    seeded = audited(guarantee="epsilon 2 at delta 1e-05, had its noise been secret")
    (told,) = said(seeded, "epsilon=2")
    assert told == f"none: no epsilon bounds anything (guarantee: {seeded.guarantee})"
    assert said(seeded, "psnr=20")
    assert said(seeded, "labels=0.9")
    assert said(seeded, "auc=0.9")


@pytest.mark.parametrize("name", ["psnr", "labels", "ssim"])
def test_a_guarantee_of_any_size_does_not_hold_a_ceiling_of_attacks_by_itself(name):
    (told,) = said(audited(epsilon=1e6), f"{name}=0.9")
    assert "say how much is enough with --ceiling epsilon=VALUE" in told
    assert not said(audited(epsilon=1.0), f"{name}=0.9", "epsilon=1")
    assert said(audited(epsilon=1e6), f"{name}=0.9", "epsilon=1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("psrn=3", "did you mean 'psnr'"),
        ("psnr", "'' is no number"),
        ("labels=inf", "'inf' is no number"),
        ("", "unknown name ''"),
        ("psnr=20,", "unknown name ''"),
        ("psnr=20,5", "unknown name '5'"),
        ("labels=50", "--ceiling labels=50: labels is from 0 to 1"),
        ("label_set=-1", "label_set is from 0 to 1"),
        ("label_mix=1.01", "label_mix is from 0 to 1"),
        ("auc=3", "auc is from 0 to 1"),
        ("ssim=2", "ssim is from -1 to 1"),
        ("epsilon=-1", "epsilon is 0 or more"),
        ("psnr=20,psnr=200", "--ceiling psnr=200: psnr has one already, 20; give one"),
    ],
)
def test_what_is_no_ceiling_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        Ceilings.of([text])


def test_several_ceilings_are_given_with_commas_or_each_by_itself():
    values = {"psnr": -3.0, "labels": 0.5, "epsilon": 1e6}
    assert Ceilings.of(["psnr=-3, labels=0.5", "epsilon=1e6"]).values == values
    assert Ceilings.of(["psnr=-3", "labels=0.5", "epsilon=1e6"]).values == values


@pytest.mark.parametrize("name", ["psnr", "psnr_worst_decile", "ssim", "labels"])
def test_a_method_of_which_no_real_batch_crosses_holds_ceilings_of_batches(name):
    none = Finding("A1", "the server", "images of a batch", "", reason=NO_ACTIVATIONS)
    assert not said(audited(none), f"{name}=0.1")
    other = replace(none, attack="A7", reason="no class mean and no decoder crosses")
    assert said(audited(other), f"{name}=0.1")
    assert said(audited(none), "label_set=1", "auc=1")


def test_a_client_of_which_no_real_image_crosses_has_none_but_may_tell_labels_by_its_fakes():
    kept = Finding("A4", "a server", "images", PSNR, reason=NO_ACTIVATIONS, withstood={0: NO_ACTIVATIONS})
    local = CutFindings(LOCAL, (0,), (), 1.0, 0.9, 12.0, 0.2)
    assert not said(audited(kept, cuts=[local]), "psnr=20")
    (told,) = said(audited(kept), "labels=0.5")
    assert told == "none: no attack was made that says whether a ceiling of labels holds"


def test_labels_that_were_read_alone_say_nothing_of_images():
    read = CutFindings(Cut(), (0,), (), 1.0, 0.9, 12.0, 0.2, labels=1.0)
    (told,) = said(audited(cuts=[read]), "labels=0.5")
    assert told == "none, cut 1-1-1-1: labels is 1, above 0.5"
    (told,) = said(audited(cuts=[read]), "psnr=99")
    assert told == "none: no attack was made that says whether a ceiling of psnr holds"
    assert not said(audited(cuts=[replace(read, cut=LOCAL)]), "psnr=0")


def test_a_mix_that_is_not_known_of_one_client_holds_no_ceiling():
    mix = Finding("A3", "the server", "mix", VARIATION, 0.4, 0.5, (0,), untried={1: "no model"})
    (told,) = said(audited(mix), "label_mix=0.9")
    assert told == "none, A3, mix: not tried on client 1 (no model), which proves nothing"
    assert not said(audited(mix, cuts=[cut_of()]), "psnr=99")


@pytest.mark.parametrize("name", ["label_mix", "label_set", "peer_blocks"])
def test_epsilon_holds_no_ceiling_of_what_is_not_of_one_image(name):
    """Of how often a client has a label it says nothing, nor of blocks; an attack may."""
    (told,) = said(audited(epsilon=1.0), f"{name}=0.9", "epsilon=1")
    assert told == (
        f"none: no attack was made that says whether a ceiling of {name} holds; epsilon is of one image, "
        "and does not bound it"
    )
    mix = Finding("A3", "the server", "how often", VARIATION, 0.3, 0.4, (0,))
    assert not said(audited(mix, epsilon=1.0), "label_mix=0.9", "epsilon=1")
    assert "label_mix is 0.7, above 0.5" in said(audited(mix, epsilon=1.0), "label_mix=0.5", "epsilon=1")[0]


def test_the_blocks_that_a_peer_has_have_a_ceiling():
    """Of two in an average it has the other's; of more, nobody's."""
    details = {"shares": {0: 0.9, 1: 1.0, 2: 0.8}}
    pair = Finding("A8", "a peer", "blocks", DISTANCE, 3e-6, 1.0, (0, 2), details)
    (told,) = said(audited(pair), "peer_blocks=0")
    assert told == "none, A8, blocks: peer_blocks is 0.9, above 0"
    assert not said(audited(pair), "peer_blocks=0.9")
    assert "the attack failed" in said(audited(replace(pair, failed=True)), "peer_blocks=1")[0]
    several = Finding("A8", "a peer", "blocks", DISTANCE, withstood={0: "the average of 3 others"})
    assert not said(audited(several), "peer_blocks=0")
    alone = Finding("A8", "a peer", "blocks", DISTANCE, reason="it has no block", untried={0: "no block"})
    assert said(audited(alone), "peer_blocks=1") == [
        "none, A8, blocks: not tried on client 0 (no block), which proves nothing"
    ]
    unwritten = Finding("A8", "the server", "blocks", "", reason="nobody has written it")
    assert said(audited(unwritten), "peer_blocks=1") == [
        "none: no attack was made that says whether a ceiling of peer_blocks holds"
    ]


@pytest.mark.parametrize(
    ("attack", "measure", "ceiling"),
    [
        ("A4", PSNR, "psnr=20"),
        ("A7", SSIM, "ssim=0.5"),
        ("A3", VARIATION, "label_mix=0.9"),
        ("A3", KNOWN, "label_set=0.9"),
    ],
)
def test_an_attack_that_could_not_be_tried_holds_no_ceiling_that_it_is_about(attack, measure, ceiling):
    """Though nothing crosses that others are made on."""
    nothing = Finding("A1", "the server", "images of a batch", "", reason=NO_ACTIVATIONS)
    untried = Finding(attack, "the server", "it", measure, reason="no decoder crossed")
    (told,) = said(audited(nothing, untried), ceiling)
    assert told == f"none, {attack}, it: not tried (no decoder crossed), which proves nothing"


def test_a_value_that_is_hardly_above_is_told_with_enough_digits():
    (told,) = said(audited(cuts=[cut_of(20.04)]), "psnr=20")
    assert told.endswith("psnr is 20.04 dB, above 20")


def test_what_a_decoder_draws_and_means_of_single_images_count():
    """Beside attacks that do not apply, which alone would hold ceilings of images."""
    none_crosses = Finding("A1", "the server", "images", "", reason="no activation of a real image crosses")
    drawn = Finding("A7", "the server", "images", SSIM, 0.825, 0.805, (0,))
    (told,) = said(audited(none_crosses, drawn), "ssim=0.5")
    assert "ssim is 0.825, above 0.5" in told
    assert not said(audited(none_crosses, drawn), "ssim=0.9")
    copied = replace(drawn, details={"ssim": 0.99})
    assert "ssim is 0.99, above 0.9" in said(audited(none_crosses, copied), "ssim=0.9")[0]
    (told,) = said(audited(none_crosses, drawn), "psnr=20")
    assert "compared by SSIM alone" in told
    single, several = (Finding("A7", "the server", "means", MEANS, share, 0.0, (0,)) for share in (0.2, 0.0))
    (told,) = said(audited(none_crosses, single), "psnr=20")
    assert "20.0% of classes" in told
    assert not said(audited(none_crosses, several), "psnr=20")


def test_a_later_step_of_which_nobody_knows_what_an_attack_has_holds_no_ceiling():
    first, later = (
        StepFindings(step, "A1", 15.0, 16.0, 0.2, 0.1, floor) for step, floor in ((1, 20.0), (31, None))
    )
    cut = CutFindings(Cut(1, 1, 3, 1), (0,), (first, later), 1.0, 0.9, 12.0, 0.2)
    (told,) = said(audited(cuts=[cut]), "psnr=25")
    assert "step 31: nobody knows what an attack has that works" in told
