"""The table of an audit in the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from huscf_flwr.evaluation.formats import UNKNOWN, decimal
from huscf_flwr.metrics import metrics_shown
from huscf_flwr.naming import clients_named
from huscf_flwr.privacy.audited import Audited
from huscf_flwr.privacy.finding import AUC, PSNR, VARIATION, Finding
from huscf_flwr.privacy.findings import BATCH_LABELS, IMAGES, LABEL_SET, CutFindings, StepFindings
from huscf_flwr.privacy.floors import RECOGNISABLE
from huscf_flwr.privacy.guarantee import NONE, SHORT_UNIT

_WIDEST = 1000
LEGEND = (
    "Decibel: how near reconstructed images come to the true ones, the median, and what a tenth of the "
    "images exceeds; a small picture is recognised from 20 dB on. Mean image: what it would give to know the "
    "mean of a client's images. Labels: share of a batch's labels that are right, and of the most frequent "
    "one. Label set: share of all classes of which it is known whether the client has any, and what guessing "
    "that it has all gives. Of several clients each number is of the one of which most is had, and what is "
    "beside it in parentheses, or as its mean image, of the same client; "
    "an attack below its floor, what one has that works, bounds nothing. Label mix: by how much (total "
    "variation) it is off that A3 has; 0 is exactly right; membership: AUC of A6; both with what knowing "
    "nothing gives."
)
_UNGUARANTEED = "nothing is guaranteed: only privacy.epsilon gives what no attack whatever can break"


def audit_table(audits: Sequence[Audited]) -> Table:
    """Return a row for each cut of each run, without columns in which no row has anything."""
    names = (
        *("clients", "first step, dB", "mid-round, dB", "mean image, dB", "SSIM", "labels", "label set"),
        *(metric.title for metric in metrics_shown("audits")),
        *("label mix, off by", "membership", "epsilon", "MB a step", "s a step"),
    )
    rows = []
    for audited in audits:
        rows += [_cells(audited, found) for found in audited.cuts]
        for lost in audited.dropped_out:
            cells = [audited.defence, lost.cut or UNKNOWN, f"client {lost.client} dropped out"]
            rows.append([*cells, *[UNKNOWN] * (2 + len(names) - len(cells))])
        if not audited.cuts:
            costs = _costs(audited, None)
            rows.append([audited.defence, *[UNKNOWN] * (1 + len(names) - len(costs)), *costs])
    return _table("What a server sees that follows the protocol", ("defence", "cut"), names, rows)


def guarantees(audits: Sequence[Audited]) -> list[str]:
    """Return what is guaranteed of each run; one sentence if nothing is of any."""
    if all(audited.guarantee == NONE for audited in audits):
        return [_UNGUARANTEED]
    return [
        f"{audited.defence}: {_UNGUARANTEED}"
        if audited.guarantee == NONE
        else f"{audited.defence}: guaranteed is {audited.guarantee}; unit: {SHORT_UNIT}"
        for audited in audits
    ]


def width_of(table: Table) -> int:
    """Return how many characters wide ``table`` is if nothing in it is broken into lines."""
    console = Console()
    return console.measure(table, options=console.options.update_width(_WIDEST)).maximum


def fitting(table: Table, width: int, least: int) -> Table:
    """Return ``table``, or if ``width`` is less than ``least``, its rows below each other.

    Then each row is a block, with a line for each column that has something.
    """
    if width >= least:
        return table
    blocks = Table(title=table.title, show_header=False)
    names = [str(column.header).replace("\n", " ") for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        for name, cell in zip(names, row, strict=True):
            if cell != UNKNOWN:
                blocks.add_row(name, cell)
        blocks.add_section()
    return blocks


def _table(title: str, texts: Sequence[str], numbers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table without the columns that have nothing in any row."""
    table = Table(title=title, caption_justify="left")
    names = [*texts, *numbers]
    kept = [place for place in range(len(names)) if any(row[place] != UNKNOWN for row in rows)]
    for place in kept:
        if place < len(texts):
            table.add_column(names[place])
        else:
            table.add_column(_in_two_lines(names[place]), justify="right")
    for row in rows:
        table.add_row(*(row[place] for place in kept))
    return table


def findings_table(audits: Sequence[Audited]) -> Table:
    """Return a row for each finding that is one number, and for each attack that does not apply."""
    rows = [_learnt(audited, found) for audited in audits for found in audited.findings]
    texts, numbers = (
        ("defence", "attack", "who", "learns", "measure"),
        ("found", "knowing nothing", "clients"),
    )
    return _table("What else is learnt", texts, numbers, rows)


def _in_two_lines(name: str) -> str:
    """Return a column's name, which is often wider than its numbers."""
    return name.replace(", ", ",\n") if ", " in name else name.replace(" ", "\n", 1)


def _learnt(audited: Audited, found: Finding) -> list[str]:
    applies = found.value is not None
    return [
        audited.defence,
        found.attack,
        found.adversary if applies else UNKNOWN,
        found.learns,
        measured(found) if applies else found.without_number,
        *(_off_by(found, value) for value in (found.value, found.chance)),
        ", ".join(map(str, found.clients)) or UNKNOWN,
    ]


def _off_by(found: Finding, value: float | None) -> str:
    """Return a number of a finding; one of which less is worse says so, lest it is read the wrong way."""
    shown = decimal(value)
    return f"off by {shown}" if found.less_is_worse and shown != UNKNOWN else shown


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
    if most is None or len(found.clients) < 2 or found.measure == PSNR:
        return ""
    value, chance = (_off_by(found, each) for each in (most.value, most.chance))
    return f", the mean; client {most.client}: {value} ({chance})"


def _nothing_of(found: Finding) -> str:
    """Return of which clients nothing was had, and why."""
    return "".join(f"; {each}" for each in found.of_others)


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
    shown = [UNKNOWN if found.activations_cross else "not in what crosses"] * 2
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
        *_costs(audited, found.clients),
    ]


def _share_of(found: CutFindings, name: str) -> str:
    """Return what is had most of any client, and what that client's guess would give."""
    most = found.most.get(name)
    if most is None:
        return UNKNOWN
    return f"{most.value:.0%} ({most.chance:.0%}){', below its floor' if most.below else ''}"


def _costs(audited: Audited, clients: Collection[int] | None) -> list[str]:
    """Return what findings have of ``clients``, or of all, and what is the same for all cuts of a run."""
    return [
        _of_findings(audited, VARIATION, clients, least=True),
        _of_findings(audited, AUC, clients),
        _epsilon(audited),
        decimal(audited.megabytes, 2),
        decimal(audited.seconds, 3),
    ]


def _epsilon(audited: Audited) -> str:
    """Return what bounds every attack, with delta and unit."""
    if audited.epsilon is None:
        return "none" if audited.guarantee == NONE else "none: seeded"
    return f"{audited.epsilon:.3g} (delta {audited.delta:g}, one image)"


def _of_findings(
    audited: Audited, measure: str, clients: Collection[int] | None, *, least: bool = False
) -> str:
    """Return the worst number of a measure, with that of knowing nothing; whether it failed is said.

    It is the largest, or the least where that says most, of one client where that is known.
    """
    known = [
        each for found in audited.findings if found.measure == measure for each in _known(found, clients)
    ]
    if not known:
        return UNKNOWN
    sign = -1 if least else 1
    value, chance, failed = max(known, key=lambda each: (not each[2], sign * each[0]))
    return f"{decimal(value, 2)} ({decimal(chance, 2)}){', failed' if failed else ''}"


def _known(found: Finding, clients: Collection[int] | None) -> Iterator[tuple[float, float | None, bool]]:
    """Yield what was found of ``clients``, or of all: value, that of knowing nothing, whether it failed."""
    value, chance = found.told
    if value is None:
        return
    if "off_by" in found.details and found.most is not None:
        off_by, guessed = found.details["off_by"], found.details["guessed"]
        for client in off_by if clients is None else [k for k in off_by if k in clients]:
            yield off_by[client], guessed[client], client in found.most.below
    elif clients is None or not set(clients).isdisjoint(found.clients):
        yield value, chance, found.failed


def _decibel(step: StepFindings) -> str:
    floorless = ", no floor" if step.floor is None else ""
    return f"{step.psnr:.1f}, {step.psnr_worst_decile:.1f} ({step.attack}){_below(step)}{floorless}"


def _below(step: StepFindings) -> str:
    """Return that less was had than an attack has that works, of the client that is told or of another."""
    if not step.failed_clients:
        return ""
    if step.floor is not None and step.psnr < step.floor:
        return f", below its floor of {step.floor:.0f}"
    return f", failed on {clients_named(step.failed_clients)}"
