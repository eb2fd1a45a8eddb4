"""How much may be given away before somebody wants to hear of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.privacy.audited_runs import Audited
from huscf_flwr.privacy.findings import StepFindings
from huscf_flwr.privacy.guarantee import NONE

_VALUES: Mapping[str, str] = {"psnr": "dB", "psnr_worst_decile": "dB", "ssim": "", "labels": "", "auc": ""}
"""What may have a ceiling, with its unit."""
_MEMBERSHIP = "auc"
"""The one that is no attack on images: of members of the training set."""


@dataclass(frozen=True)
class Ceilings:
    """Values that no step of any cut, or no attack on membership, may exceed, by name."""

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
        """Yield a sentence for each ceiling that is exceeded, and for attacks that have failed.

        An attack that has failed proves nothing, least of all that a ceiling holds. Where there is a
        guarantee, nothing was attacked, and no ceiling is exceeded.
        """
        if audited.guarantee != NONE:
            return
        if self.values:
            for found in audited.cuts:
                if found.failed:
                    yield f"{audited.defence}, cut {found.name}: the attacks failed, and prove nothing"
        for name in self.values:
            if not _is_attacked(audited, name):
                yield f"{audited.defence}: no attack was made that {name} is of, which proves nothing"
        yield from self._auc_exceeded(audited)
        for name, most in self.values.items():
            if name == _MEMBERSHIP:
                continue
            for found in audited.cuts:
                for step in found.steps:
                    value = _value(step, name)
                    if not value <= most:
                        unit = _VALUES[name] and f" {_VALUES[name]}"
                        yield (
                            f"{audited.defence}, cut {found.name}, step {step.step}: {name} is "
                            f"{value:.3g}{unit}, above {most:g}"
                        )
                if name == "labels" and not found.steps and found.labels is not None and found.labels > most:
                    yield f"{audited.defence}, cut {found.name}: labels is {found.labels:.3g}, above {most:g}"

    def _auc_exceeded(self, audited: Audited) -> Iterator[str]:
        most = self.values.get(_MEMBERSHIP)
        for found in audited.findings:
            if most is None or found.measure != "AUC" or found.value is None or found.value <= most:
                continue
            what = f"{audited.defence}, {found.attack}, {found.learns}"
            yield f"{what}: auc is {found.value:.3g}, above {most:g}"


def _is_attacked(audited: Audited, name: str) -> bool:
    if name == _MEMBERSHIP:
        return any(found.measure == "AUC" and found.value is not None for found in audited.findings)
    return bool(audited.cuts)


def _value(step: StepFindings, name: str) -> float:
    return float(getattr(step, name))


def _number(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"--ceiling {text}: '{value}' is no number; write something like psnr=20")
    return number
