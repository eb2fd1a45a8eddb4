"""What became of each ceiling: it agrees with what is said of all of them together."""

import pytest

from huscf_flwr.privacy.audited import DroppedOut
from huscf_flwr.privacy.ceilings import Ceilings
from tests.privacy.test_ceilings import COPIED, audited, cut_of

BOUNDED = {"epsilon": 1.0, "guarantee": "epsilon 1"}
LOST = DroppedOut(0, "1-1-1-1", "no answer")


def outcomes(found, *texts):
    return {each.name: each for each in Ceilings.of(texts).outcomes(found)}


def test_each_ceiling_has_an_outcome_of_its_own():
    told = outcomes(audited(cuts=[cut_of(61)]), "psnr=60,labels=0.5")
    assert [each.holds for each in told.values()] == [False, True]
    assert told["psnr"].against == ("none, cut 1-1-1-1, step 1: psnr is 61 dB, above 60",)
    assert [*map(str, told.values())] == ["psnr of at most 60 does not hold", "labels of at most 0.5 holds"]


@pytest.mark.parametrize(("most", "holding"), [(2, True), (0.5, False)])
def test_images_are_hidden_by_an_epsilon_where_its_own_ceiling_holds(most, holding):
    told = outcomes(audited(**BOUNDED), f"psnr=20,epsilon={most}")
    assert [told[name].holds for name in ("psnr", "epsilon")] == [holding, holding]


def test_what_an_epsilon_leaves_of_an_auc_does_not_hang_on_its_ceiling():
    told = outcomes(audited(**BOUNDED), "auc=0.9,epsilon=0.5")
    assert [told[name].holds for name in ("auc", "epsilon")] == [True, False]


def test_what_nobody_has_looked_into_is_beside_what_holds_and_not_beside_what_does_not():
    (holds,) = outcomes(audited(cuts=[cut_of(61)]), "psnr=99").values()
    assert "none: A5 was not asked, and may have more" in holds.caveats
    (broken,) = outcomes(audited(cuts=[cut_of(61)]), "psnr=60").values()
    assert not broken.caveats


@pytest.mark.parametrize(
    "found",
    [
        audited(cuts=[cut_of(61)]),
        audited(COPIED, cuts=[cut_of(17)]),
        audited(cuts=[cut_of(61)], dropped_out=[LOST]),
        audited(**BOUNDED),
        audited(
            settings=["privacy.local_discriminator=true", "privacy.epsilon=2", "privacy.noise=seeded"],
            guarantee="epsilon 2, had its noise",
        ),
    ],
    ids=["above", "copied", "dropped out", "bounded", "seeded"],
)
@pytest.mark.parametrize("most", [0, 0.95])
@pytest.mark.parametrize("name", ["psnr", "labels", "label_mix", "auc", "peer_blocks"])
@pytest.mark.parametrize("bound", ["", ",epsilon=0.5", ",epsilon=2"])
def test_some_ceiling_does_not_hold_exactly_if_there_is_something_to_say(found, most, name, bound):
    ceilings = Ceilings.of([f"{name}={most}{bound}"])
    against = {sentence for each in ceilings.outcomes(found) for sentence in each.against}
    assert set(ceilings.exceeded(found)) <= against
    assert bool(against) is bool([*ceilings.exceeded(found)])
