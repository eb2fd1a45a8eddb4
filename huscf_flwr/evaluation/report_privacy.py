"""What the section about an audit says, as plain data without any HTML."""

from __future__ import annotations

from dataclasses import dataclass

from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.report_sections import png_uri
from huscf_flwr.evaluation.run_record import PRIVACY, Json, RunRecord, items, part

_FAILED = "the attack failed, which proves nothing"

Step = tuple[int, str, float | None, float | None, float | None]
"""Step, best attack, median decibel of the images, share of the labels that are right, median SSIM."""


@dataclass(frozen=True)
class AttackedCut:
    """The clients with one cut."""

    name: str
    clients: int
    sees_images: bool
    """Whether activations of real images cross at all."""
    failed: bool
    """Whether the attacks have failed where nothing explains it; then they prove nothing."""
    steps: tuple[Step, ...]
    mean_image: float | None
    """Of the client of which most is seen."""
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
    reason: str
    failure: str
    """Why the number proves nothing, where the attack failed; empty if it did not."""


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


def privacy(record: RunRecord) -> Privacy | None:
    """Return what an audit of the run has found; None if there was none."""
    found = record.privacy
    if not found:
        return None
    number = known_number(found.get("round"))
    verdict = found.get("verdict")
    return Privacy(
        round=None if number is None else int(number),
        defence=str(found.get("defence", "none")),
        cuts=tuple(_attacked(record, cut) for cut in items(found, "cuts")),
        learnt=tuple(map(_learnt, items(found, "findings"))),
        verdict=tuple(map(str, verdict)) if isinstance(verdict, list) else (),
        guarantee=str(found["guarantee"]) if found.get("guarantee") else None,
    )


def _attacked(record: RunRecord, cut: Json) -> AttackedCut:
    name, guessed = str(cut.get("name")), part(cut, "most", "psnr", "chance")
    path = record.folder / PRIVACY / f"cut-{name}.png"
    clients = part(cut, "clients")
    return AttackedCut(
        name=name,
        clients=len(clients) if isinstance(clients, list) else 0,
        sees_images=bool(cut.get("sees_images", True)),
        failed=bool(cut.get("failed")),
        steps=tuple(map(_step, items(cut, "steps"))),
        mean_image=known_number(cut.get("mean_image") if guessed is None else guessed),
        picture=png_uri(path) if path.is_file() else None,
    )


def _step(found: Json) -> Step:
    psnr, labels, ssim = (known_number(found.get(value)) for value in ("psnr", "labels", "ssim"))
    return int(known_number(found.get("step")) or 0), str(found.get("attack")), psnr, labels, ssim


def _learnt(found: Json) -> Learnt:
    attack, adversary, learns, measure, reason = (
        str(found.get(name, "")) for name in ("attack", "adversary", "learns", "measure", "reason")
    )
    value, chance = known_number(found.get("value")), known_number(found.get("chance"))
    failure = str(found.get("failure") or _FAILED) if found.get("failed") else ""
    return Learnt(attack, adversary, learns, measure, value, chance, reason, failure)
