"""How much may be given away before somebody wants to hear of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.privacy.auc_ceiling import auc_at, auc_exceeded
from huscf_flwr.privacy.audited import Audited
from huscf_flwr.privacy.finding import PSNR, Finding
from huscf_flwr.privacy.findings import CutFindings

_VALUES: Mapping[str, str] = {
    "psnr": "dB",
    "psnr_worst_decile": "dB",
    "ssim": "",
    "labels": "",
    "auc": "",
    "epsilon": "",
}
"""What may have a ceiling, with its unit."""
_MEMBERSHIP, _EPSILON = "auc", "epsilon"
_BY_ATTACK = {"psnr": None, "psnr_worst_decile": "psnr_worst_decile", "ssim": "ssim", "labels": "labels"}
"""Where a finding about images has such a value: among its details, but for the first, which is its own."""


@dataclass(frozen=True)
class Ceilings:
    """Values that nothing may exceed, by name: no step of any cut, and no other attack."""

    values: Mapping[str, float]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Ceilings:
        """Read ``name=value``; raises ``ValueError`` for an unknown name, or what is no number."""
        found = {}
        for text in texts:
            name, _, value = text.partition("=")
            if name not in _VALUES:
                raise ValueError(
                    f"--ceiling {text}: unknown name '{name}'{did_you_mean(name, list(_VALUES))}: there are "
                    f"{', '.join(_VALUES)}"
                )
            found[name] = _number(text, value)
        return cls(found)

    def exceeded(self, audited: Audited) -> Iterator[str]:
        """Yield a sentence for each ceiling that is exceeded, or of which nothing shows that it is not.

        An attack that has failed shows nothing, nor does one that could not have found anything; and neither
        does what was not read.
        """
        yield from self._by_guarantee(audited)
        if audited.epsilon is not None:
            return
        if self._on_images:
            yield from self._images_exceeded(audited)
        if _MEMBERSHIP in self.values:
            yield from auc_exceeded(audited, self.values[_MEMBERSHIP])

    @property
    def _on_images(self) -> dict[str, float]:
        return {name: most for name, most in self.values.items() if name in _BY_ATTACK}

    def _by_guarantee(self, audited: Audited) -> Iterator[str]:
        """Yield what the guarantee, or that there is none, has to do with ceilings."""
        bound, most = audited.epsilon, self.values.get(_EPSILON)
        if most is not None and bound is None:
            yield f"{audited.defence}: no epsilon bounds anything (guarantee: {audited.guarantee})"
        if bound is None:
            return
        if most is not None and not bound <= most:
            yield f"{audited.defence}: epsilon is {bound:.3g}, above {most:g}"
        if most is None and self._on_images:
            yield (
                f"{audited.defence}: nothing was attacked, and epsilon {bound:.3g} alone does not say that "
                f"{next(iter(self._on_images))} holds; say how much is enough with --ceiling epsilon=VALUE"
            )
        auc = auc_at(bound, audited.delta)
        if _MEMBERSHIP in self.values and not auc <= self.values[_MEMBERSHIP]:
            yield (
                f"{audited.defence}: nothing was attacked, and epsilon {bound:.3g} allows an auc of "
                f"{auc:.3g}, above {self.values[_MEMBERSHIP]:g}"
            )

    def _images_exceeded(self, audited: Audited) -> Iterator[str]:
        on_images = [found for found in audited.findings if found.measure == PSNR and found.value is not None]
        for name in self._on_images:
            if not audited.cuts and not on_images:
                yield f"{audited.defence}: no attack was made that {name} is of, which proves nothing"
        for cut in audited.cuts:
            yield from self._cut_exceeded(audited.defence, cut)
        for found in on_images:
            yield from self._finding_exceeded(audited.defence, found)

    def _cut_exceeded(self, defence: str, cut: CutFindings) -> Iterator[str]:
        where = f"{defence}, cut {cut.name}"
        if cut.failed_clients:
            who = ", ".join(map(str, cut.failed_clients))
            yield f"{where}: the attacks failed on client {who}, and prove nothing"
        for name, most in self._on_images.items():
            for step in cut.steps:
                value = float(getattr(step, name))
                if not value <= most:
                    yield f"{where}, step {step.step}: {name} is {_with_unit(name, value)}, above {most:g}"
            if name == "labels" and not cut.steps:
                if cut.labels is None:
                    yield f"{where}: labels were not read, which proves nothing"
                elif not cut.labels <= most:
                    yield f"{where}: labels is {cut.labels:.3g}, above {most:g}"

    def _finding_exceeded(self, defence: str, found: Finding) -> Iterator[str]:
        where = f"{defence}, {found.attack}, {found.learns}"
        if found.failed:
            yield f"{where}: the attack failed, and proves nothing"
        for name, most in self._on_images.items():
            key = _BY_ATTACK[name]
            value = found.value if key is None else found.details.get(key)
            if value is not None and not value <= most:
                yield f"{where}: {name} is {_with_unit(name, value)}, above {most:g}"


def _with_unit(name: str, value: float) -> str:
    unit = _VALUES[name] and f" {_VALUES[name]}"
    return f"{value:.3g}{unit}"


def _number(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"--ceiling {text}: '{value}' is no number; write something like psnr=20")
    return number
