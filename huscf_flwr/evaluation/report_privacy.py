"""What the section about an audit says, as plain data without any HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.report_sections import png_uri
from huscf_flwr.evaluation.run_record import PRIVACY, Json, RunRecord, items, part
from huscf_flwr.naming import clients_named

_FAILED = "the attack failed, which proves nothing"


class Step(NamedTuple):
    """What was had in one step."""

    number: int
    attack: str
    """That comes nearest to the images."""
    psnr: float | None
    """Decibel, the median."""
    ssim: float | None
    """The median."""
    labels: float | None
    """Share of the labels that are right."""
    floor: float | None
    """Decibel that an attack that works has; None if nobody knows."""
    failed_on: str
    """Clients of which no attack has as much."""


@dataclass(frozen=True)
class Had:
    """What was had of the client of which most is had."""

    client: int
    value: float
    chance: float | None
    """What guessing gives of the same client."""
    below: bool
    """Whether less is had of some client than an attack has that works."""


@dataclass(frozen=True)
class AttackedCut:
    """The clients with one cut."""

    name: str
    clients: int
    sees_images: bool
    """Whether images were attacked."""
    activations_cross: bool
    """Whether activations of real images cross at all, so that there are images to attack."""
    failed: bool
    """Whether the attacks have failed where nothing explains it; then they prove nothing."""
    steps: tuple[Step, ...]
    mean_image: float | None
    """Of the client of which most is seen."""
    labels: Had | None
    """Labels of a batch, where no image was attacked."""
    label_set: Had | None
    """Of which labels it is known whether the client has any."""
    picture: str | None
    """True images above reconstructed ones, for each step."""


@dataclass(frozen=True)
class Learnt:
    """What an attack found in one number, or why it does not apply."""

    attack: str
    adversary: str
    learns: str
    measure: str
    value: float | None
    chance: float | None
    without_number: str
    """How it is told that there is no number, and why."""
    failure: str
    """Why the number proves nothing, where the attack failed; empty if it did not."""
    nothing: tuple[str, ...] = ()
    """Of which clients nothing was had, or on which it was not tried, and why."""
    less_is_worse: bool = False
    """Whether the number is by how much something is off that is known."""


@dataclass(frozen=True)
class Privacy:
    """What an audit has found."""

    round: int | None
    defence: str
    cuts: tuple[AttackedCut, ...]
    learnt: tuple[Learnt, ...]
    verdict: tuple[str, ...]
    guarantee: str | None
    """Epsilon and delta, and what they are worth; None without any."""
    ceilings: tuple[str, ...] = ()
    """What became of those that somebody has set, a sentence each."""


def privacy(record: RunRecord) -> Privacy | None:
    """Return what an audit of the run has found; None if there was none."""
    found = record.privacy
    if not found:
        return None
    number = known_number(found.get("round"))
    return Privacy(
        round=None if number is None else int(number),
        defence=str(found.get("defence", "none")),
        cuts=tuple(_attacked(record, cut) for cut in items(found, "cuts")),
        learnt=tuple(map(_learnt, items(found, "findings"))),
        verdict=_sentences(found, "verdict"),
        guarantee=str(found["guarantee"]) if found.get("guarantee") else None,
        ceilings=tuple(map(_ceiling, items(found, "ceilings"))),
    )


def _ceiling(outcome: Json) -> str:
    said = str(outcome.get("said"))
    return ". ".join([said, *_sentences(outcome, "against"), *_sentences(outcome, "caveats")])


def _sentences(found: Json, name: str) -> tuple[str, ...]:
    said = found.get(name)
    return tuple(map(str, said)) if isinstance(said, list) else ()


def _attacked(record: RunRecord, cut: Json) -> AttackedCut:
    name, guessed = str(cut.get("name")), part(cut, "most", "psnr", "chance")
    path = record.folder / PRIVACY / f"cut-{name}.png"
    clients = part(cut, "clients")
    sees_images = bool(cut.get("sees_images", True))
    return AttackedCut(
        name=name,
        clients=len(clients) if isinstance(clients, list) else 0,
        sees_images=sees_images,
        activations_cross=bool(cut.get("activations_cross", sees_images)),
        failed=bool(cut.get("failed")),
        steps=tuple(map(_step, items(cut, "steps"))),
        mean_image=known_number(cut.get("mean_image") if guessed is None else guessed),
        labels=None if sees_images else _had(cut, "labels"),
        label_set=_had(cut, "label_set"),
        picture=png_uri(path) if path.is_file() else None,
    )


def _had(cut: Json, name: str) -> Had | None:
    had = part(cut, "most", name)
    client, value, chance = (known_number(part(had, key)) for key in ("client", "value", "chance"))
    if client is None or value is None:
        return None
    return Had(int(client), value, chance, bool(part(had, "below")))


def _step(found: Json) -> Step:
    names = ("psnr", "ssim", "labels", "floor")
    psnr, ssim, labels, floor = (known_number(found.get(name)) for name in names)
    failed = part(found, "failed_clients")
    failed_on = clients_named(failed) if isinstance(failed, list) and failed else ""
    number = int(known_number(found.get("step")) or 0)
    return Step(number, str(found.get("attack")), psnr, ssim, labels, floor, failed_on)


def _learnt(found: Json) -> Learnt:
    attack, adversary, learns, measure, reason = (
        str(found.get(name, "")) for name in ("attack", "adversary", "learns", "measure", "reason")
    )
    value, chance = known_number(found.get("value")), known_number(found.get("chance"))
    failure = str(found.get("failure") or _FAILED) if found.get("failed") else ""
    others = found.get("of_others")
    nothing = tuple(map(str, others)) if isinstance(others, list) else ()
    less_is_worse = bool(found.get("less_is_worse"))
    without = str(found.get("without_number") or f"does not apply: {reason}")
    return Learnt(attack, adversary, learns, measure, value, chance, without, failure, nothing, less_is_worse)
