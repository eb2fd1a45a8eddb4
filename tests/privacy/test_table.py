"""The rows of an audit: what was had of clients, and what a step costs."""

from types import SimpleNamespace

import pytest

from huscf_flwr.models import Cut
from huscf_flwr.privacy.finding import AUC, VARIATION, Finding
from huscf_flwr.privacy.findings import CutFindings, StepFindings
from huscf_flwr.privacy.table import audit_table


def row(*findings, cuts=()):
    """The cells of the only row, by column."""
    audited = SimpleNamespace(
        defence="none",
        cuts=cuts,
        guarantee="none",
        findings=findings,
        megabytes=6.864,
        seconds=0.3712,
        scores={},
    )
    table = audit_table([audited])
    return {str(column.header): next(iter(column.cells)) for column in table.columns}


def found(measure, value, chance, **changes):
    return Finding("A", "the server", "something", measure, value, chance, (0,), **changes)


def cut_of(psnr, **changes):
    return CutFindings(
        Cut(), (0,), (StepFindings(1, "A1", psnr, psnr, 0.9, 1.0),), 1.0, 0.9, 12.0, 0.2, **changes
    )


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
