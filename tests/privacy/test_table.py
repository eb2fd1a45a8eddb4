"""The rows of an audit: what was had of clients, and what a step costs."""

from types import SimpleNamespace

import pytest

from huscf_flwr.models import Cut
from huscf_flwr.privacy.audited import DroppedOut
from huscf_flwr.privacy.finding import AUC, PSNR, VARIATION, Finding, Most
from huscf_flwr.privacy.findings import CutFindings, StepFindings
from huscf_flwr.privacy.table import audit_table, measured


def row(*findings, cuts=(), dropped_out=()):
    """The cells of the only row, or of the last, by column."""
    audited = SimpleNamespace(
        defence="none",
        cuts=cuts,
        guarantee="none",
        findings=findings,
        megabytes=6.864,
        seconds=0.3712,
        scores={},
        dropped_out=dropped_out,
    )
    table = audit_table([audited])
    return {str(column.header): list(column.cells)[-1] for column in table.columns}


def found(measure, value, chance, **changes):
    return Finding("A", "the server", "something", measure, value, chance, (0,), **changes)


def test_of_mixes_the_nearest_is_shown_and_of_several_clients_the_one_of_which_most_is_had():
    near = found(VARIATION, 0.2, 0.3, most=Most(1, 0.01, 0.04))
    assert row(near, found(VARIATION, 0.15, 0.5))["label mix"] == "0.01 (0.04)"
    most = {"psnr": Most(1, 61.0, 9.0), "labels": Most(1, 1.0, 0.6), "label_set": Most(0, 0.8, 0.5, (0, 1))}
    cells = row(cuts=(cut_of(61.0, most=most),))
    assert (cells["mean image, dB"], cells["labels"]) == ("9.0", "100% (60%)")
    assert cells["label set"] == "80% (50%), below its floor"


def test_who_has_dropped_out_has_a_row():
    cells = row(cuts=(cut_of(61.0),), dropped_out=(DroppedOut(3, "1-1-2-1", "it left"),))
    assert (cells["cut"], cells["clients"]) == ("1-1-2-1", "client 3 dropped out")
    assert cells["first step, dB"] == cells["labels"] == "—"


def test_who_could_not_be_attacked_and_who_withstood_it_is_told():
    images = found(PSNR, 61.0, 12.0, untried={1: "no room"}, withstood={2: "it has left"})
    assert measured(images).endswith("nothing of client 2: it has left; not tried on client 1: no room")


def cut_of(psnr, **changes):
    return CutFindings(Cut(), (0,), (step_of(psnr, **changes),), 1.0, 0.9, 12.0, 0.2, **changes)


def step_of(psnr, failed_clients=(), **_):
    return StepFindings(1, "A1", psnr, psnr, 0.9, 1.0, 60.0, failed_clients)


@pytest.mark.parametrize("cuts", [(), (cut_of(61.0),)], ids=["without cuts", "with a cut"])
def test_a_row_has_label_mix_membership_and_both_costs(cuts):
    cells = row(found(VARIATION, 0.031, 0.4), found(AUC, 0.72, 0.5), cuts=cuts)
    assert (cells["label mix"], cells["membership"]) == ("0.03 (0.40)", "0.72 (0.50)")
    assert (cells["MB a step"], cells["s a step"], cells["guarantee"]) == ("6.86", "0.371", "none")


def test_what_was_not_attacked_or_failed_is_told_as_such():
    assert row()["membership"] == "—"
    assert row(found(AUC, 0.5, 0.5, failed=True))["membership"] == "0.50 (0.50), failed"
    sound = row(found(AUC, 0.9, 0.5, failed=True), found(AUC, 0.6, 0.5))
    assert sound["membership"] == "0.60 (0.50)"


@pytest.mark.parametrize(
    ("psnr", "shown"), [(15.0, "attack failed"), (26.0, "26.0, 26.0 (A1), below its floor")]
)
def test_an_attack_below_its_floor_is_told_with_what_is_seen_all_the_same(psnr, shown):
    assert row(cuts=(cut_of(psnr, failed_clients=(0,)),))["first step, dB"] == shown
