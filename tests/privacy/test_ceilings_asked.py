"""Which attacks a ceiling needs, and what is said of those that were not made."""

import pytest

from huscf_flwr.config import load_config
from huscf_flwr.privacy.ceilings import NAMES, Ceilings
from huscf_flwr.privacy.finding import NO_ACTIVATIONS, Finding
from huscf_flwr.privacy.findings import CutFindings
from huscf_flwr.privacy.registry import ATTACKS, DEFAULT_ATTACKS, ON
from tests.privacy.test_ceilings import LOCAL, audited, cut_of, said

SECRET = [
    *("privacy.local_discriminator=true", "fake_labels=uniform"),
    *("privacy.epsilon=1", "privacy.noise=secret"),
]
BATCHES = {"psnr", "psnr_worst_decile", "ssim", "labels"}


@pytest.mark.parametrize(
    ("ceiling", "attacks", "missing"),
    [
        ("auc=0.6", DEFAULT_ATTACKS, "A6"),
        ("psnr=20", ("A3", "A4", "A5", "A6"), "A1 or A2"),
        ("label_mix=0.9", ("A1",), "A3"),
        ("peer_blocks=0", ("A1",), "A8"),
    ],
)
def test_a_ceiling_of_which_chosen_attacks_cannot_say_whether_it_holds_is_refused(ceiling, attacks, missing):
    given, name = Ceilings.of([ceiling]), ceiling.partition("=")[0]
    with pytest.raises(ValueError, match=f"--ceiling {ceiling}: --attacks .* cannot say .*; add {missing}$"):
        given.check_asked(attacks, load_config("demo"))
    given.check_asked(ATTACKS, load_config("demo"))
    if name in ("auc", "psnr"):
        given.check_asked(attacks, load_config("demo", SECRET))


@pytest.mark.parametrize(
    ("method", "unanswered"),
    [
        ("fedgan", set()),
        ("mdgan", {"label_mix", "label_set", "peer_blocks"}),
        ("fedvtc", {"auc", "peer_blocks"}),
    ],
)
def test_a_ceiling_that_no_attack_on_a_method_is_about_is_refused(method, unanswered):
    refused = set()
    for name in (each for each in NAMES if each != "epsilon"):
        try:
            Ceilings.of([f"{name}=1"]).check_asked(ATTACKS, load_config("demo", [f"method={method}"]))
        except ValueError as error:
            assert f"method {method}: no attack here on such a run says whether it holds" in str(error)
            refused.add(name)
    assert refused == unanswered


@pytest.mark.parametrize("settings", [[], ["privacy.noise=seeded"]])
def test_a_ceiling_of_epsilon_where_nothing_is_bounded_is_refused(settings):
    config = load_config("demo", [*SECRET[:-1], *settings] if settings else [])
    with pytest.raises(
        ValueError, match=r"--ceiling epsilon=1: privacy.epsilon is .*, so that nothing is bounded"
    ):
        Ceilings.of(["epsilon=1"]).check_asked(ATTACKS, config)
    Ceilings.of(["epsilon=1"]).check_asked(ATTACKS, load_config("demo", SECRET))


def test_labels_of_a_batch_are_said_by_what_is_told_by_cut():
    """A3 on FedGAN has the set and the mix, and no labels of a batch."""
    with pytest.raises(ValueError, match=r"add A1 or A2$"):
        Ceilings.of(["labels=0.5"]).check_asked(("A3",), load_config("demo", ["method=fedgan"]))
    Ceilings.of(["labels=0.5"]).check_asked(("A3",), load_config("demo"))


def test_attacks_that_may_have_more_are_named_where_a_ceiling_of_images_holds():
    told = [*Ceilings.of(["psnr=99"]).caveats(audited(cuts=[cut_of()]))]
    assert told == [f"none: {name} was not asked, and may have more" for name in ("A4-gradients", "A5")]
    assert not [
        *Ceilings.of(["psnr=99"]).caveats(audited(cuts=[CutFindings(LOCAL, (0,), (), 1, 1, 12, 0.2)]))
    ]


def test_all_that_an_attack_on_a_method_may_find_must_have_been_asked():
    """That no activation crosses says nothing of class means and decoders."""
    with pytest.raises(ValueError, match=r"add A7$"):
        Ceilings.of(["ssim=0.5"]).check_asked(("A1",), load_config("demo", ["method=fedvtc"]))
    Ceilings.of(["ssim=0.5"]).check_asked(("A1",), load_config("demo", ["method=fedgan"]))


@pytest.mark.parametrize("attacked", ON.values(), ids=[kind.__name__ for kind in ON])
def test_attacks_that_were_not_made_hold_no_ceiling_but_of_batches_that_do_not_cross(attacked):
    """With the reasons that each method has, and for the others a reason of this time."""
    found = audited(*attacked.untried(ATTACKS, "not this time"))
    held = {name for name in NAMES if not said(found, f"{name}=0")}
    assert held == (BATCHES if NO_ACTIVATIONS in attacked.reasons.values() else set())


def test_noise_that_a_server_can_draw_again_holds_no_ceiling_of_what_it_hides():
    none = [Finding(name, "the server", "images", "", reason=NO_ACTIVATIONS) for name in ("A1", "A2")]
    seeded = audited(
        *none,
        settings=[*SECRET[:-1], "privacy.noise=seeded", "rounds=2"],
        guarantee="epsilon 2, had its noise",
    )
    for name in ("psnr", "ssim", "labels"):
        (told,) = said(seeded, f"{name}=0")
        assert f"nothing shows that {name} holds" in told


def test_what_nobody_has_looked_at_is_told_beside_a_ceiling_that_holds():
    none = Finding("A1", "the server", "images", "", reason=NO_ACTIVATIONS)
    found = audited(none)
    found.unattacked = "the networks that clients send"
    (told,) = Ceilings.of(["psnr=20", "labels=0.5"]).caveats(found)
    assert told == (
        "none: psnr holds against the attacks that are written here; nobody here has looked for images in "
        "the networks that clients send"
    )
    assert not [*Ceilings.of(["auc=0.6"]).caveats(found)]
