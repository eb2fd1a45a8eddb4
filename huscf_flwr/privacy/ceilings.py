"""How much may be given away before somebody wants to hear of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.config import LEAST_OBSERVED
from huscf_flwr.privacy.auc_ceiling import auc_at, auc_exceeded
from huscf_flwr.privacy.audited import Audited
from huscf_flwr.privacy.finding import KNOWN, MEANS, NO_ACTIVATIONS, PSNR, SSIM, VARIATION, Finding
from huscf_flwr.privacy.findings import LABEL_SET, CutFindings

_DECIBEL = ("psnr", "psnr_worst_decile")
_LIMITS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(_DECIBEL, (-math.inf, math.inf)),
    "ssim": (-1, 1),
    **dict.fromkeys(("labels", "label_mix", "label_set", "auc"), (0, 1)),
    "epsilon": (0, math.inf),
}
"""What may have a ceiling, with the least and the most that it can be."""
NAMES = tuple(_LIMITS)
"""What may have a ceiling."""
_MEMBERSHIP, _EPSILON = "auc", "epsilon"
_NEAR: Mapping[str, str | None] = {"psnr": None, "psnr_worst_decile": "psnr_worst_decile", "ssim": "ssim"}
"""How near images come: where a finding about images has it among its details, but for its own value."""
_LABELS, _MIX, _SET = "labels", "label_mix", "label_set"
_OF_ATTACKS = (*_NEAR, _LABELS, _MIX, _SET)
"""What attacks on images and labels have; more is worse. ``label_mix`` is one less the total variation."""


@dataclass(frozen=True)
class Ceilings:
    """Values that nothing may exceed, by name: no step of any cut, and no other attack."""

    values: Mapping[str, float]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Ceilings:
        """Read ``name=value``, several with commas between them.

        Raises ``ValueError`` for an unknown name, one that is there twice, and what it cannot be.
        """
        found: dict[str, float] = {}
        for text in (part.strip() for each in texts for part in each.split(",")):
            name, _, value = text.partition("=")
            if name not in NAMES:
                raise ValueError(
                    f"--ceiling {text}: unknown name '{name}'{did_you_mean(name, NAMES)}: there are "
                    f"{', '.join(NAMES)}; write something like psnr=20,labels=0.5"
                )
            number = _number(text, name, value)
            if name in found:
                raise ValueError(f"--ceiling {text}: {name} has one already, {found[name]:g}; give one")
            found[name] = number
        return cls(found)

    def exceeded(self, audited: Audited) -> Iterator[str]:
        """Yield a sentence for each ceiling that is exceeded, or of which nothing shows that it is not.

        An attack that has failed shows nothing, nor does one that could not have found anything; and neither
        does what was not read.
        """
        yield from self._by_guarantee(audited)
        if audited.epsilon is not None:
            return
        if self._on_images or _MEMBERSHIP in self.values:
            for lost in audited.dropped_out:
                yield f"{audited.defence}: {lost.sentence}; that proves nothing"
        yield from self._images_exceeded(audited)
        if _MEMBERSHIP in self.values:
            yield from auc_exceeded(audited, self.values[_MEMBERSHIP])

    @property
    def _on_images(self) -> dict[str, float]:
        return {name: most for name, most in self.values.items() if name in _OF_ATTACKS}

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
        for name in sorted(self._on_images.keys() & {_MIX, _SET}):
            yield (
                f"{audited.defence}: nothing was attacked, and epsilon is of one image, not of how often "
                f"a client has a label: {name} may be anything"
            )
        auc = auc_at(bound, audited.delta)
        if _MEMBERSHIP in self.values and not auc <= self.values[_MEMBERSHIP]:
            yield (
                f"{audited.defence}: nothing was attacked, and epsilon {bound:.3g} allows an auc of "
                f"{auc:.3g}, above {self.values[_MEMBERSHIP]:g}"
            )

    def _images_exceeded(self, audited: Audited) -> Iterator[str]:
        for name in self._on_images:
            if not _shown(name, audited):
                yield f"{audited.defence}: no attack was made that {name} is of, which proves nothing"
        if not self._on_images.keys().isdisjoint(_NEAR):
            yield from _few_observed(audited)
        for cut in audited.cuts:
            yield from self._cut_exceeded(f"{audited.defence}, cut {cut.name}", cut)
        for found in audited.findings:
            yield from self._finding_exceeded(f"{audited.defence}, {found.attack}, {found.learns}", found)

    def _cut_exceeded(self, where: str, cut: CutFindings) -> Iterator[str]:
        if not self._on_images.keys().isdisjoint(_NEAR):
            yield from _failed_steps(where, cut)
        for name, most in self._on_images.items():
            if name in (_LABELS, _SET) and name in cut.most and cut.most[name].below:
                who = _names(cut.most[name].below)
                yield f"{where}: the attacks on {name} failed on client {who}, and prove nothing"
            for place, value in _of_cut(name, cut):
                if value is None:
                    was = "were" if name == _LABELS else "was"
                    yield f"{where}: {name} {was} not read, which proves nothing"
                elif not value <= most:
                    yield f"{where}{place}: {name} is {_with_unit(name, value)}, above {most:g}"

    def _finding_exceeded(self, where: str, found: Finding) -> Iterator[str]:
        carried = {name: value for name, value in _of_finding(found) if name in self._on_images}
        if found.failed and carried:
            yield f"{where}: the attack failed, and proves nothing"
        about = {PSNR: tuple(_NEAR), VARIATION: (_MIX,)}.get(found.measure, ())
        if not self._on_images.keys().isdisjoint(about):
            for client, why in found.untried.items():
                yield f"{where}: not tried on client {client} ({why}), which proves nothing"
        for name in sorted(self._on_images.keys() & _NEAR.keys() - carried.keys()):
            if found.measure == MEANS and found.value:
                yield f"{where}: they cross for {found.value:.0%} of classes; nothing shows that {name} holds"
            if found.measure == SSIM and found.value is not None:
                yield f"{where}: compared by SSIM alone, which proves nothing of {name}"
        for name, value in carried.items():
            if not value <= self.values[name]:
                yield f"{where}: {name} is {_with_unit(name, value)}, above {self.values[name]:g}"


def _few_observed(audited: Audited) -> Iterator[str]:
    """Yield what is wrong where statistics of activations cross that may be of a few images."""
    privacy = audited.config.privacy
    if privacy.local_discriminator and privacy.min_observed < LEAST_OBSERVED:
        yield (
            f"{audited.defence}: privacy.min_observed is {privacy.min_observed}, so that statistics may be "
            f"of so few images, and no attack was made on them; {LEAST_OBSERVED} or more hold the ceiling"
        )


def _shown(name: str, audited: Audited) -> bool:
    """Return whether something that was found has a value of this name, or has none since nothing crosses."""
    of_cuts = (cut.images_asked if name in _NEAR else bool(list(_of_cut(name, cut))) for cut in audited.cuts)
    findings = audited.findings
    if any(of_cuts) or any(name in dict(_of_finding(found)) for found in findings):
        return True
    if name == _LABELS:
        # A method of which no real batch crosses has no labels of one; a client's alone may by its fakes.
        return any(found.reason == NO_ACTIVATIONS and not found.measure for found in findings)
    return name in _NEAR and any(map(_held, findings))


def _held(found: Finding) -> bool:
    """Return whether there is no image to find: it has withstood the attack, or nothing crosses."""
    if found.measure == PSNR:
        return bool(found.withstood) and not found.untried
    return found.reason == NO_ACTIVATIONS


def _failed_steps(where: str, cut: CutFindings) -> Iterator[str]:
    if cut.failed_clients:
        yield f"{where}: the attacks failed on client {_names(cut.failed_clients)}, and prove nothing"
    for step in cut.steps[1:]:
        if step.floor is None:
            why = "nobody knows what an attack has that works, which proves nothing"
            yield f"{where}, step {step.step}: {why}"
        if step.failed_clients:
            who = _names(step.failed_clients)
            yield f"{where}, step {step.step}: the attacks failed on client {who}, and prove nothing"


def _of_cut(name: str, cut: CutFindings) -> Iterator[tuple[str, float | None]]:
    """Yield what was had of a cut by the name of a ceiling, with its step; None for what was not read."""
    if name in (*_NEAR, _LABELS):
        for step in cut.steps:
            yield f", step {step.step}", float(getattr(step, name))
    if name == _LABELS and not cut.steps:
        yield "", cut.labels
    if name == _SET:
        most = cut.most.get(LABEL_SET)
        yield "", None if most is None else most.value


def _of_finding(found: Finding) -> Iterator[tuple[str, float]]:
    """Yield what was found by the names of ceilings; of one client, where the value is a mean."""
    if found.value is None:
        return
    value = found.value if found.most is None else found.most.value
    if found.measure == VARIATION:
        yield _MIX, 1 - value
    elif found.measure == KNOWN:
        yield _SET, value
    elif found.measure == SSIM:
        yield "ssim", value
    elif found.measure == PSNR:
        for name, key in {**_NEAR, _LABELS: _LABELS}.items():
            if key is None:
                yield name, value
            elif key in found.details:
                yield name, float(found.details[key])


def _names(clients: Iterable[int]) -> str:
    return ", ".join(map(str, clients))


def _with_unit(name: str, value: float) -> str:
    return f"{value:.3g}{' dB' if name in _DECIBEL else ''}"


def _number(text: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"--ceiling {text}: '{value}' is no number; write something like psnr=20")
    least, most = _LIMITS[name]
    if not least <= number <= most:
        between = f"from {least:g} to {most:g}" if math.isfinite(most) else f"{least:g} or more"
        raise ValueError(f"--ceiling {text}: {name} is {between}; write a value that it can have")
    return number
