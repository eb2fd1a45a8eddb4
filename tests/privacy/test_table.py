"""The rows of an audit: what was had of clients, and what a step costs."""

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from huscf_flwr.models import Cut
from huscf_flwr.privacy.audited import DroppedOut
from huscf_flwr.privacy.finding import AUC, NO_ACTIVATIONS, PSNR, VARIATION, Finding, Most
from huscf_flwr.privacy.findings import CutFindings, StepFindings
from huscf_flwr.privacy.table import audit_table, findings_table, fitting, guarantees, measured, width_of


def of(*findings, cuts=(), dropped_out=(), guarantee="none", epsilon=None):
    return SimpleNamespace(
        epsilon=epsilon,
        delta=1e-5,
        defence="none",
        cuts=cuts,
        guarantee=guarantee,
        findings=findings,
        megabytes=6.864,
        seconds=0.3712,
        scores={},
        dropped_out=dropped_out,
    )


def row(*findings, cuts=(), dropped_out=()):
    """The cells of the only row, or of the last, by column."""
    table = audit_table([of(*findings, cuts=cuts, dropped_out=dropped_out)])
    return {name_of(column): list(column.cells)[-1] for column in table.columns}


def name_of(column):
    """Without its line break."""
    return str(column.header).replace("\n", " ")


def found(measure, value, chance, **changes):
    return Finding("A", "the server", "something", measure, value, chance, (0,), **changes)


def test_of_mixes_the_nearest_is_shown_and_of_several_clients_the_one_of_which_most_is_had():
    near = found(VARIATION, 0.2, 0.3, most=Most(1, 0.01, 0.04))
    assert row(near, found(VARIATION, 0.15, 0.5))["label mix, off by"] == "0.01 (0.04)"
    most = {"psnr": Most(1, 61.0, 9.0), "labels": Most(1, 1.0, 0.6), "label_set": Most(0, 0.8, 0.5, (0, 1))}
    cells = row(cuts=(cut_of(61.0, most=most),))
    assert (cells["mean image, dB"], cells["labels"]) == ("9.0", "100% (60%)")
    assert cells["label set"] == "80% (50%), below its floor"


def test_who_has_dropped_out_has_a_row():
    cells = row(cuts=(cut_of(61.0),), dropped_out=(DroppedOut(3, "1-1-2-1", "it left"),))
    assert (cells["cut"], cells["clients"]) == ("1-1-2-1", "client 3 dropped out")
    assert cells["first step, dB"] == cells["mean image, dB"] == "—"
    assert "labels" not in cells


def test_who_could_not_be_attacked_and_who_withstood_it_is_told():
    images = found(PSNR, 61.0, 12.0, untried={1: "no room"}, withstood={2: "it has left"})
    assert measured(images).endswith("withstood by client 2: it has left; not tried on client 1: no room")


def cut_of(psnr, failed_clients=(), **changes):
    return CutFindings(Cut(), (0,), (step_of(psnr, failed_clients),), 1.0, 0.9, 12.0, 0.2, **changes)


def step_of(psnr, failed_clients=()):
    return StepFindings(1, "A1", psnr, psnr, 0.9, 1.0, 60.0, failed_clients)


@pytest.mark.parametrize("cuts", [(), (cut_of(61.0),)], ids=["without cuts", "with a cut"])
def test_a_row_has_label_mix_membership_and_both_costs(cuts):
    cells = row(found(VARIATION, 0.031, 0.4), found(AUC, 0.72, 0.5), cuts=cuts)
    assert (cells["label mix, off by"], cells["membership"]) == ("0.03 (0.40)", "0.72 (0.50)")
    assert (cells["MB a step"], cells["s a step"]) == ("6.86", "0.371")


def test_columns_that_have_nothing_in_any_row_are_left_out():
    assert row().keys() == {"defence", "epsilon", "MB a step", "s a step"}
    both = audit_table([of(), of(found(AUC, 0.72, 0.5))])
    assert [list(column.cells) for column in both.columns if column.header == "membership"] == [
        ["—", "0.72 (0.50)"]
    ]
    (left,) = [findings_table([of(Finding("A7", "the server", "images", "", reason="none crosses"))])]
    assert [column.header for column in left.columns] == ["defence", "attack", "learns", "measure"]


def test_a_table_is_as_wide_as_its_longest_row_so_that_nothing_is_cut():
    table = audit_table([of(cuts=(cut_of(61.0, failed_clients=(0,)),))])
    shown = io.StringIO()
    Console(file=shown, width=width_of(table)).print(table)
    lines = shown.getvalue().splitlines()
    assert "…" not in shown.getvalue()
    assert all(word in shown.getvalue() for column in table.columns for word in name_of(column).split())
    assert ("61.0, 61.0 (A1), failed on client 0" in lines[-2], len(lines)) == (True, 7)


def test_where_a_table_is_too_wide_its_rows_are_below_each_other_and_nothing_is_lost():
    table = audit_table([of(cuts=(cut_of(61.0),)), of(found(AUC, 0.72, 0.5))])
    assert fitting(table, 170, 170) is table
    blocks = fitting(table, 80, 170)
    lines = list(zip(*(column.cells for column in blocks.columns), strict=True))
    assert ("first step, dB", "61.0, 61.0 (A1)") in lines
    assert ("membership", "0.72 (0.50)") in lines
    told = [cell for column in table.columns for cell in column.cells if cell != "—"]
    assert sorted(cell for _, cell in lines) == sorted(told)
    shown = io.StringIO()
    Console(file=shown, width=80).print(blocks)
    assert "…" not in shown.getvalue()
    assert max(map(len, shown.getvalue().splitlines())) <= 80


def test_a_number_of_which_less_is_worse_says_so():
    """Off by nothing is known exactly, and looks like nothing otherwise."""
    mix = found(VARIATION, 0.0, 0.7, most=Most(0, 0.0, 0.9))
    cells = [next(iter(column.cells)) for column in findings_table([of(mix)]).columns]
    assert cells[-3:] == ["off by 0.000", "off by 0.700", "0"]
    several = replace(mix, clients=(0, 1))
    assert measured(several).endswith("client 0: off by 0.000 (off by 0.900)")
    assert list(findings_table([of(found(PSNR, 61.0, 12.0))]).columns[-2].cells) == ["12.000"]


def test_what_is_guaranteed_is_told_of_each_run_unless_nothing_is_of_any():
    (nothing,) = guarantees([of(), of()])
    assert nothing.startswith("nothing is guaranteed")
    bare, bound = guarantees([of(), of(guarantee="epsilon 2 at delta 1e-05")])
    assert bare == f"none: {nothing}"
    assert bound.startswith("none: guaranteed is epsilon 2 at delta 1e-05; unit: ")


def test_a_row_has_epsilon_with_delta_and_unit_or_none():
    def shown(**guaranteed):
        table = audit_table([of(**guaranteed)])
        return {name_of(column): list(column.cells) for column in table.columns}["epsilon"]

    assert shown() == ["none"]
    assert shown(guarantee="epsilon 2 at delta 1e-05", epsilon=2.0) == ["2 (delta 1e-05, one image)"]
    assert shown(guarantee="epsilon 2, had its noise been secret") == ["none: seeded"]


def test_each_cut_has_the_label_mix_and_membership_of_its_own_clients():
    """What failed on a client of another cut says nothing of these."""
    details = {"off_by": {0: 0.3, 1: 0.01, 2: 0.02}, "guessed": {0: 0.2, 1: 0.4, 2: 0.5}}
    mix = found(VARIATION, 0.11, 0.4, details=details, most=Most(1, 0.01, 0.4, below=(0,)), failed=True)
    asked = replace(found(AUC, 0.72, 0.5), clients=(2,))
    first = cut_of(61.0)
    others = replace(first, cut=Cut(1, 1, 2, 1), clients=(1, 2))
    table = audit_table([of(mix, asked, cuts=(first, others))])
    cells = {name_of(column): list(column.cells) for column in table.columns}
    assert cells["label mix, off by"] == ["0.30 (0.20), failed", "0.01 (0.40)"]
    assert cells["membership"] == ["—", "0.72 (0.50)"]


def test_who_withstood_an_attack_is_told_apart_from_where_there_is_none():
    def told(**changes):
        nothing = Finding("A4", "a server", "images", PSNR, **changes)
        return next(iter(findings_table([of(nothing)]).columns[-1].cells))

    assert told(reason="it left", withstood={0: "it left"}) == "withstood by client 0: it left"
    both = {"withstood": {0: "it left"}, "untried": {1: "no room", 2: "no room"}}
    assert told(reason="it left; no room", **both) == (
        "withstood by client 0: it left; not tried on clients 1, 2: no room"
    )
    for withstood in ({}, {0: NO_ACTIVATIONS}):
        assert told(reason=NO_ACTIVATIONS, withstood=withstood) == f"does not apply: {NO_ACTIVATIONS}"


def test_images_that_nobody_attacked_are_not_told_as_hidden():
    def shown(cut):
        read = CutFindings(cut, (0,), (), 1.0, 0.9, 12.0, 0.2, most={"labels": Most(0, 1.0, 0.2)})
        return row(cuts=(read,))

    plain, local = shown(Cut()), shown(Cut(1, 1, 5, 0))
    assert plain["labels"] == local["labels"] == "100% (20%)"
    assert "first step, dB" not in plain
    assert local["first step, dB"] == "not in what crosses"


def test_what_was_not_attacked_or_failed_is_told_as_such():
    assert row(found(AUC, 0.5, 0.5, failed=True))["membership"] == "0.50 (0.50), failed"
    sound = row(found(AUC, 0.9, 0.5, failed=True), found(AUC, 0.6, 0.5))
    assert sound["membership"] == "0.60 (0.50)"


@pytest.mark.parametrize(
    ("psnr", "shown"), [(15.0, "attack failed"), (26.0, "26.0, 26.0 (A1), below its floor of 60")]
)
def test_an_attack_below_its_floor_is_told_with_what_is_seen_all_the_same(psnr, shown):
    assert row(cuts=(cut_of(psnr, failed_clients=(0,)),))["first step, dB"] == shown
