"""What was found, in plain words: of each method, and not of batches alone."""

import pytest

from huscf_flwr.models import Cut
from huscf_flwr.privacy import finding
from huscf_flwr.privacy.finding import AUC, DISTANCE, KNOWN, MEANS, PSNR, SSIM, VARIATION, Finding, Most
from huscf_flwr.privacy.findings import CutFindings
from huscf_flwr.privacy.verdict import NOTHING, verdict

MEASURES = {
    VARIATION: (0.01, 0.04, "the server knows it (client 0), to a total variation of 0.010, where"),
    KNOWN: (1.0, 0.8, "the server knows it (client 0): it is right about 100% of all labels, where"),
    AUC: (0.72, 0.5, "the server tells it (client 0), from images that nobody trained on in 72% of pairs"),
    MEANS: (0.2, 0.0, "the server gets it (client 0): 20% of class means are of one image"),
    PSNR: (134.0, 12.0, "the server gets it (client 0): 134 dB, where their mean image has 12 dB"),
    SSIM: (0.631, 0.628, "the server gets it (client 0), which are like one of its own to an SSIM of 0.631"),
    DISTANCE: (4e-6, 1.0, "the server gets it (client 0): off by 4.0e-06 of what the average itself is off"),
    "hours": (3.0, 1.0, "the server learns it (client 0): hours is 3.000, by chance 1.000"),
}


def found(measure, value, chance, **changes):
    return Finding("A", "the server", "it", measure, value, chance, (0,), **changes)


@pytest.mark.parametrize("measure", MEASURES)
def test_each_finding_has_a_sentence_whatever_the_method(measure):
    value, chance, words = MEASURES[measure]
    (said,) = verdict((), [found(measure, value, chance)])
    assert said.startswith(words)
    assert "not all that can be had" not in said


def test_every_measure_has_words_of_its_own():
    known = {value for name, value in vars(finding).items() if name.isupper() and isinstance(value, str)}
    adversaries = {
        finding.NO_ACTIVATIONS,
        *(value for value in known if value.startswith(("the server", "a server", "whoever"))),
    }
    assert known - adversaries == MEASURES.keys() - {"hours"}


def test_a_mix_of_labels_is_told_beside_the_labels_of_a_batch():
    cut = CutFindings(Cut(1, 1, 5, 0), (0, 1), (), None, 0.9, 12.0, 0.2, labels=0.09)
    mix = found(VARIATION, 0.1, 0.2, most=Most(1, 0.01, 0.04))
    batch, told = verdict([cut], [mix])
    assert "the server gets 9% of the labels of a batch" in batch
    assert (
        "(client 1), to a total variation of 0.010, where guessing that it has all as often has 0.040" in told
    )


def test_the_set_of_labels_is_told_of_the_client_of_which_most_is_known():
    cut = CutFindings(Cut(1, 1, 5, 0), (0, 1), (), 0.9, 0.9, 12.0, 0.2, most={"label_set": Most(1, 1.0, 0.7)})
    _, told = verdict([cut])
    assert told.startswith("of client 1, with cut 1-1-5-0, the server knows of 100% of all labels whether")


def test_a_set_of_labels_that_guessing_has_as_well_is_no_news():
    assert verdict((), [found(KNOWN, 1.0, 1.0)]) == [NOTHING]
    cut = CutFindings(Cut(1, 1, 5, 0), (0,), (), 1.0, 1.0, 12.0, 0.2, most={"label_set": Most(0, 1.0, 1.0)})
    assert len(verdict([cut])) == 1


def test_what_failed_is_told_only_where_it_says_something_all_the_same():
    """Less than one that works has, and still more than guessing."""
    more = [(PSNR, 25.0, 12.0), (VARIATION, 0.2, 0.5), (DISTANCE, 0.2, 1.0)]
    for seen in (found(*each, failed=True) for each in more):
        (told,) = verdict((), [seen])
        assert told.endswith("an attack that works has more, so this is not all that can be had")
    other = found(VARIATION, 0.2, 0.3, most=Most(1, 0.01, 0.3, below=(0, 2)), failed=True)
    (told,) = verdict((), [other])
    assert told.endswith("has 0.300; of clients 0, 2 it failed, which proves nothing")
    nothing = [
        found(PSNR, 15.0, 12.0, failed=True),
        found(VARIATION, 0.05, 0.04, failed=True),
        found(KNOWN, 0.8, 0.8, failed=True),
        found(DISTANCE, 1.2, 1.0, failed=True),
        found(AUC, 0.9, 0.5, failed=True),
        Finding("A", "the server", "it", PSNR, reason="no activation crosses"),
    ]
    assert verdict((), nothing) == [NOTHING]


def test_where_nothing_could_be_attacked_the_reasons_are_told():
    """An attack that was made and failed beside them says that nothing is proven."""
    reason = Finding("A", "the server", "it", PSNR, reason="no activation crosses")
    assert verdict((), [reason]) == ["A (it): does not apply: no activation crosses"]
    assert verdict((), [reason, found(AUC, 0.5, 0.5, failed=True)]) == [NOTHING]
    assert verdict(()) == [NOTHING]
