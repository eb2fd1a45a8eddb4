"""The table of an audit in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from huscf_flwr.evaluation.formats import UNKNOWN, decimal
from huscf_flwr.metrics import metrics_shown
from huscf_flwr.privacy.audited import Audited
from huscf_flwr.privacy.finding import AUC, VARIATION, Finding
from huscf_flwr.privacy.findings import BATCH_LABELS, IMAGES, LABEL_SET, CutFindings, StepFindings
from huscf_flwr.privacy.floors import RECOGNISABLE
from huscf_flwr.privacy.guarantee import NONE, SHORT_UNIT

LEGEND = (
    "Decibel: how near reconstructed images come to the true ones, the median, and what a tenth of the "
    "images exceeds; a small picture is recognised from 20 dB on. Mean image: what it would give to know the "
    "mean of a client's images. Labels: share of a batch's labels that are right, and of the most frequent "
    "one. Label set: share of all classes of which it is known whether the client has any, and what guessing "
    "that it has all gives. Of several clients each number is of the one of which most is had, and what is "
    "beside it in parentheses, or as its mean image, of the same client; "
    "an attack below its floor, what one has that works, bounds nothing. Label mix: total variation to the "
    "true one, of A3: less is nearer; membership: AUC of A6; both with what knowing nothing gives. "
    "Guarantee: what no attack whatever can break; only privacy.epsilon gives one."
)


def audit_table(audits: Sequence[Audited]) -> Table:
    """Return a row for each cut of each run."""
    table = Table(title="What a server sees that follows the protocol", caption_justify="left")
    table.add_column("defence")
    table.add_column("cut")
    for column in (
        *("clients", "first step, dB", "mid-round, dB", "mean image, dB", "SSIM", "labels", "label set"),
        *(metric.title for metric in metrics_shown("audits")),
        *("label mix", "membership", "MB a step", "s a step", "guarantee"),
    ):
        table.add_column(column, justify="right")
    for audited in audits:
        for found in audited.cuts:
            table.add_row(*_cells(audited, found))
        for lost in audited.dropped_out:
            cells = [audited.defence, lost.cut or UNKNOWN, f"client {lost.client} dropped out"]
            table.add_row(*cells, *[UNKNOWN] * (len(table.columns) - len(cells)))
        if not audited.cuts:
            costs = _costs(audited)
            table.add_row(audited.defence, *[UNKNOWN] * (len(table.columns) - 1 - len(costs)), *costs)
    return table


def findings_table(audits: Sequence[Audited]) -> Table:
    """Return a row for each finding that is one number, and for each attack that does not apply."""
    table = Table(title="What else is learnt", caption_justify="left")
    for column in ("defence", "attack", "who", "learns", "measure"):
        table.add_column(column)
    for column in ("found", "knowing nothing", "clients"):
        table.add_column(column, justify="right")
    for audited in audits:
        for found in audited.findings:
            applies = found.value is not None
            table.add_row(
                audited.defence,
                found.attack,
                found.adversary if applies else UNKNOWN,
                found.learns,
                measured(found) if applies else f"does not apply: {found.reason}",
                decimal(found.value),
                decimal(found.chance),
                ", ".join(map(str, found.clients)) or UNKNOWN,
            )
    return table


def measured(found: Finding) -> str:
    """Return what a number is, with its interval and what else is needed to read it."""
    details = found.details
    failed = f"; {found.failure}" if found.failed else ""
    if "auc_interval" not in details:
        return f"{found.measure}{_of_one(found)}{failed}{_nothing_of(found)}"
    rate = ""
    if details["found"] is not None:
        least, most = details["found_interval"]
        rate = f"; {details['found']:.1%} ({least:.1%} to {most:.1%}) of members at 1 % false positives"
    return (
        f"{found.measure} ({_interval(details['auc_interval'])}; {_controls(found)}), {_tried(details)}, "
        f"{details['members']} members, {details['others']} others{rate}{failed}"
    )


def _of_one(found: Finding) -> str:
    """Return what the client has of which most is had, where the number is a mean."""
    most = found.most
    if most is None or len(found.clients) < 2:
        return ""
    return f", the mean; client {most.client} has {decimal(most.value)} ({decimal(most.chance)})"


def _nothing_of(found: Finding) -> str:
    """Return of which clients nothing was had, and why."""
    held = [f"; nothing of client {client}: {why}" for client, why in found.withstood.items()]
    return "".join(held + [f"; not tried on client {client}: {why}" for client, why in found.untried.items()])


def _tried(details: Mapping[str, Any]) -> str:
    """Return which attack counts, and what the others have."""
    each = details["attacks"]
    aucs = ", ".join(f"{name} {decimal(each[name]['auc'], 2)}" for name in each)
    return f"the best of {len(each)} attacks, {details['attack']} ({aucs})" if len(each) > 1 else aucs


def _controls(found: Finding) -> str:
    """Return both controls; one that is off says that something else than training was found.

    Where an epsilon lets the attack find nothing at all, so is what an odd control would be off by.
    """
    details = found.details
    if details["control"] is None:
        return "no control with fewer than 4 shadow models"
    hidden = found.failed and details.get("under_epsilon") is not None
    is_off = details["control_off"] and not hidden
    off = f" is off: {_interval(details['control_interval'])}" if is_off else ""
    return f"control {decimal(details['control'], 2)}{off}; of known members {decimal(details['able'], 2)}"


def _interval(found: Sequence[float]) -> str:
    low, high = found
    return f"{low:.2f} to {high:.2f}"


def _cells(audited: Audited, found: CutFindings) -> list[str]:
    scores, image = audited.scores, found.most.get(IMAGES)
    shown = ["not in what crosses", "not in what crosses"]
    if found.failed and found.worst.psnr < RECOGNISABLE:
        shown = ["attack failed", "proves nothing"]
    elif found.sees_images:
        shown = [_decibel(found.steps[0]), _decibel(found.steps[-1]) if len(found.steps) > 1 else UNKNOWN]
    return [
        audited.defence,
        found.name,
        str(len(found.clients)),
        *shown,
        decimal(found.mean_image if image is None else image.chance, 1),
        decimal(found.worst.ssim, 2) if found.sees_images else UNKNOWN,
        _share_of(found, BATCH_LABELS),
        _share_of(found, LABEL_SET),
        *(decimal(scores.get(metric.name), metric.digits) for metric in metrics_shown("audits")),
        *_costs(audited),
    ]


def _share_of(found: CutFindings, name: str) -> str:
    """Return what is had most of any client, and what that client's guess would give."""
    most = found.most.get(name)
    if most is None:
        return UNKNOWN
    return f"{most.value:.0%} ({most.chance:.0%}){', below its floor' if most.below else ''}"


def _costs(audited: Audited) -> list[str]:
    """Return what is the same for all cuts of a run."""
    return [
        _of_findings(audited, VARIATION, least=True),
        _of_findings(audited, AUC),
        decimal(audited.megabytes, 2),
        decimal(audited.seconds, 3),
        audited.guarantee if audited.guarantee == NONE else f"{audited.guarantee}; unit: {SHORT_UNIT}",
    ]


def _of_findings(audited: Audited, measure: str, *, least: bool = False) -> str:
    """Return the worst number of a measure, with that of knowing nothing; which of them failed is said.

    It is the largest, or the least where that says most; of one client, where that is known.
    """
    known = [each for each in audited.findings if each.measure == measure and each.value is not None]
    if not known:
        return UNKNOWN

    def shown(found: Finding) -> tuple[float, float | None]:
        assert found.value is not None
        most = found.most
        return (found.value, found.chance) if most is None else (most.value, most.chance)

    sign = -1 if least else 1
    best = max(known, key=lambda each: (not each.failed, sign * shown(each)[0]))
    value, chance = shown(best)
    return f"{decimal(value, 2)} ({decimal(chance, 2)}){', failed' if best.failed else ''}"


def _decibel(step: StepFindings) -> str:
    below = ", below its floor" if step.failed_clients else ""
    floorless = ", no floor" if step.floor is None else ""
    return f"{step.psnr:.1f}, {step.psnr_worst_decile:.1f} ({step.attack}){below}{floorless}"
