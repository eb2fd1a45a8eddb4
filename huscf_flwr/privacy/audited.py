"""What was found of one run, and where it is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.evaluation.figures import sample_grid
from huscf_flwr.evaluation.report import write_report
from huscf_flwr.evaluation.run_record import PRIVACY, read_run
from huscf_flwr.methods import method_of
from huscf_flwr.metrics import metrics_shown
from huscf_flwr.privacy.audit import ClientAudit
from huscf_flwr.privacy.ceiling_names import Outcome
from huscf_flwr.privacy.finding import Finding, as_json
from huscf_flwr.privacy.findings import CutFindings, best_attack
from huscf_flwr.privacy.floors import RECOGNISABLE
from huscf_flwr.privacy.guarantee import NONE, UNIT, bounding_epsilon, guarantee, sentence
from huscf_flwr.privacy.registry import attackable
from huscf_flwr.privacy.verdict import of_finding, verdict
from huscf_flwr.run.origin import Origin
from huscf_flwr.tensor_files import write_json

PICTURED = 10
"""Images of a client in a picture."""
_EARLIER = "earlier-"
"""Begins the names of folders with what audits before the last one have left."""


@dataclass(frozen=True)
class DroppedOut:
    """A client that was to be attacked, and left the round that was recorded."""

    client: int
    cut: str
    """Its name; empty if the method has none."""
    reason: str

    @property
    def sentence(self) -> str:
        """That nothing is known of it."""
        cut = f", with cut {self.cut}," if self.cut else ""
        return (
            f"client {self.client}{cut} dropped out of the round that was recorded, and was not attacked: "
            f"{self.reason}"
        )


@dataclass(frozen=True)
class Audited:
    """What was found of one run."""

    config: RunConfig
    defence: str
    round: int
    """That was recorded."""
    cuts: tuple[CutFindings, ...]
    """What was found of activations of real images; empty if there are none, or nobody looked at them."""
    findings: tuple[Finding, ...]
    """What else was found, and what does not apply."""
    megabytes: float | None
    """That a client sends and receives in a step, the mean over those attacked; None without steps."""
    seconds: float | None = None
    """That a step takes by the latency model, with the devices of all clients; None if nobody has said."""
    origin: Origin | None = None
    """Hashes of what the run was computed from."""
    command: str = ""
    """By which it was asked for."""
    dropped_out: tuple[DroppedOut, ...] = ()
    """Clients that were to be attacked, of whom nothing is known."""
    replaced: tuple[str, ...] = ()
    """Settings of the configuration that the defence has put others in the place of, as ``name: value``."""
    ceilings: tuple[Outcome, ...] = ()
    """That somebody has set, and whether they hold."""

    @property
    def verdict(self) -> list[str]:
        """What the server gets, in words."""
        left = [each.sentence for each in self.dropped_out]
        if self.guarantee == NONE:
            return verdict(self.cuts, self.findings) + left + self._beside
        attacked = any(found.value is not None for found in self.findings)
        tried = "" if attacked else "; no attack was tried"
        found = [said for each in self.findings if (said := of_finding(each)) is not None]
        return [sentence(self.config, self.config.folder) + tried, *found, *left]

    @cached_property
    def guarantee(self) -> str:
        """What no attack can break, in words; ``none`` without one."""
        return guarantee(self.config, self.config.folder)

    @cached_property
    def epsilon(self) -> float | None:
        """What bounds every attack, at ``privacy.delta``; None without noise, or if it is no secret."""
        return bounding_epsilon(self.config, self.config.folder)

    @property
    def delta(self) -> float:
        """Probability that ``epsilon`` fails."""
        return self.config.privacy.delta

    @property
    def scores(self) -> dict[str, float]:
        """Means over the domains of what the run's products are worth, where they were judged."""
        found = read_run(self.config.folder).domains.values()
        means = {}
        for metric in metrics_shown("audits"):
            known = [scores[metric.name] for scores in found if metric.name in scores]
            if known:
                means[metric.name] = fmean(known)
        return means

    @property
    def unattacked(self) -> str:
        """What crosses that images went into and no attack here makes images of; empty if nothing does."""
        if self.guarantee != NONE:
            return ""
        return attackable(method_of(self.config)).unattacked(self.config)

    @property
    def _beside(self) -> list[str]:
        """That no attack looks into something that crosses, if there is such a thing."""
        seen = any(cut.sees_images and cut.worst.psnr >= RECOGNISABLE for cut in self.cuts)
        if seen or not self.unattacked:
            return []
        return [f"nobody here has looked for images in {self.unattacked}: nothing says that none can be had"]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "run": str(self.config.folder),
            "defence": self.defence,
            "round": self.round,
            "guarantee": None if self.guarantee == NONE else self.guarantee,
            "epsilon": self.epsilon,
            "delta": None if self.guarantee == NONE else self.delta,
            "unit": None if self.guarantee == NONE else UNIT,
            "megabytes_a_step": self.megabytes,
            "seconds_a_step": self.seconds,
            "scores": self.scores,
            "cuts": [found.as_json() for found in self.cuts],
            "findings": [as_json(found) for found in self.findings],
            "verdict": self.verdict,
            "dropped_out": [asdict(each) for each in self.dropped_out],
            "replaced": list(self.replaced),
            "ceilings": [each.as_json() for each in self.ceilings],
            "version": version("huscf-flwr"),
            "command": self.command,
            "origin": None if self.origin is None else asdict(self.origin),
            "config": self.config.model_dump(mode="json"),
        }

    def write(self, audits: Sequence[ClientAudit] = ()) -> Path | None:
        """Leave what was found in the run's folder: values, pictures of ``audits``, and the report anew.

        Return where that of an earlier audit is now, if there was one.
        """
        folder = self.config.folder / PRIVACY
        folder.mkdir(exist_ok=True)
        aside = set_aside(folder)
        for cut in self.cuts:
            first = next(audit for audit in audits if audit.cut == cut.cut)
            if cut.sees_images:
                _draw(folder / f"cut-{cut.name}.png", first)
        write_json(folder / f"{PRIVACY}.json", self.as_json())
        write_report(self.config.folder)
        return aside


def set_aside(folder: Path) -> Path | None:
    """Move what an earlier audit has left in ``folder`` into one of its own below; return that, if any."""
    left = [path for path in (folder / f"{PRIVACY}.json", *folder.glob("*.png")) if path.exists()]
    if not left:
        return None
    numbers = (path.name.removeprefix(_EARLIER) for path in folder.glob(f"{_EARLIER}*"))
    last = max((int(number) for number in numbers if number.isdecimal()), default=0)
    aside = folder / f"{_EARLIER}{last + 1}"
    aside.mkdir()
    for path in left:
        path.rename(aside / path.name)
    return aside


def _draw(path: Path, audit: ClientAudit) -> None:
    """Draw true images above what the best attack made of them, for each step."""
    steps = sorted({each.step for each in audit.attacked})
    best = [best_attack(audit, step) for step in steps]
    columns = min(PICTURED, *(len(each.truth) for each in best))
    rows = [images[:columns] for each in best for images in (each.truth, each.images)]
    captions = [caption for each in best for caption in (f"step {each.step}", each.attack)]
    sample_grid(path, torch.cat(rows), columns, captions)
