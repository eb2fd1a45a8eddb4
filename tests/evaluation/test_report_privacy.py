"""What the report says of an audit."""

import json

import pytest

from huscf_flwr.evaluation.report import report_page
from huscf_flwr.evaluation.report_privacy import privacy
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.models import Cut
from huscf_flwr.privacy.ceiling_names import Outcome
from huscf_flwr.privacy.finding import PSNR, VARIATION, Finding, Most, as_json
from huscf_flwr.privacy.findings import CutFindings, StepFindings
from tests.evaluation.pages import Page


def recorded(folder, **found):
    (folder / "privacy").mkdir()
    (folder / "privacy" / "privacy.json").write_text(json.dumps({"round": 1, **found}))
    return read_run(folder)


def text_of(record):
    return " ".join(Page(report_page(record)).text.split())


@pytest.mark.parametrize(
    ("details", "told"),
    [({}, "attack failed, proves nothing"), ({"under_epsilon": 2.0}, "consistent with epsilon 2, proves")],
)
def test_a_failed_attack_is_told_with_what_explains_it(tmp_path, details, told):
    asked = ("A6", "the server", "who", "AUC", 0.5, 0.5, (0,), details)
    findings = [as_json(Finding(*asked, failed=failed)) for failed in (True, False)]
    failed, sound = privacy(recorded(tmp_path, findings=findings)).learnt
    assert told in failed.failure
    assert sound.failure == ""


def test_clients_of_which_nothing_was_had_are_told_beside_what_was_had_of_others(tmp_path):
    why = {"withstood": {2: "it has found it"}, "untried": {1: "no room"}}
    images = Finding("A4", "a server", "images", PSNR, 61.0, 12.0, (0,), **why)
    text = text_of(recorded(tmp_path, findings=[as_json(images)]))
    assert f"{PSNR}; withstood by client 2: it has found it; not tried on client 1: no room 61.000" in text


def test_a_number_of_which_less_is_worse_says_so(tmp_path):
    mix = Finding("A3", "the server", "how often", VARIATION, 0.0, 0.7, (0,))
    unknown = Finding("A3", "the server", "how often", VARIATION, reason="no model")
    page = Page(report_page(recorded(tmp_path, findings=[as_json(mix), as_json(unknown)])))
    assert page.cells[-8:-6] == ["off by 0.000", "off by 0.700"]
    assert page.cells[-2:] == ["—", "—"]


@pytest.mark.parametrize(
    ("below", "ends"), [((), "."), ((0,), "; below the floor of an attack that works, which proves nothing.")]
)
def test_the_set_of_labels_is_told_of_a_cut(tmp_path, below, ends):
    step = StepFindings(1, "A1", 61.0, 63.0, 0.9, 1.0, 60.0)
    most = {"label_set": Most(3, 0.9, 0.8, below), "labels": Most(3, 1.0, 0.2)}
    cut = CutFindings(Cut(), (3,), (step,), 0.9, 0.8, 12.0, 0.2, most=most)
    text = text_of(recorded(tmp_path, cuts=[cut.as_json()]))
    assert f"Set of labels: 90.0 % of client 3, where guessing has 80.0 %{ends}" in text
    assert "Labels of a batch:" not in text


@pytest.mark.parametrize(
    ("floor", "failed", "told"),
    [(60.0, (), "60 or more"), (60.0, (0, 3), "60 or more; failed on clients 0, 3"), (None, (), "not known")],
)
def test_what_an_attack_has_that_works_is_beside_what_was_had(tmp_path, floor, failed, told):
    step = StepFindings(1, "A1", 61.0, 63.0, 0.9, 1.0, floor, failed)
    cut = CutFindings(Cut(), (0, 3), (step,), 0.9, 0.8, 12.0, 0.2)
    page = Page(report_page(recorded(tmp_path, cuts=[cut.as_json()])))
    assert [page.cells[0], page.cells[2], page.cells[-1]] == ["1", "61.0", told]


def test_who_withstood_an_attack_is_told_apart_from_where_there_is_none(tmp_path):
    left = Finding("A4", "a server", "images", PSNR, reason="it left", withstood={0: "it left"})
    none = Finding("A7", "the server", "images", "", reason="no decoder crosses")
    text = text_of(recorded(tmp_path, findings=[as_json(left), as_json(none)]))
    assert "withstood by client 0: it left" in text
    assert "does not apply: no decoder crosses" in text


def test_what_became_of_ceilings_is_told(tmp_path):
    outcomes = [
        Outcome("psnr", 20.0, ("psnr is 61 dB, above 20",)),
        Outcome("ssim", 0.5, (), ("A5 was not asked, and may have more",)),
    ]
    text = text_of(recorded(tmp_path, ceilings=[each.as_json() for each in outcomes]))
    assert "Ceiling: psnr of at most 20 does not hold. psnr is 61 dB, above 20." in text
    assert "Ceiling: ssim of at most 0.5 holds. A5 was not asked, and may have more." in text


def test_labels_that_were_read_alone_are_told_and_not_that_images_are_hidden(tmp_path):
    most = {"labels": Most(0, 1.0, 0.2)}
    read = CutFindings(Cut(), (0,), (), None, 0.8, 12.0, 0.2, labels=1.0, most=most)
    text = text_of(recorded(tmp_path, cuts=[read.as_json()]))
    assert "Labels of a batch: 100.0 % of client 0, where guessing has 20.0 %." in text
    assert "No attack was made on images." in text
    assert "No activation of a real image" not in text
