"""How much may be given away before somebody wants to hear of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.config import LEAST_OBSERVED, RunConfig
from huscf_flwr.methods import method_of
from huscf_flwr.naming import clients_named
from huscf_flwr.privacy.auc_ceiling import auc_at, auc_exceeded
from huscf_flwr.privacy.audited import Audited
from huscf_flwr.privacy.ceiling_names import (
    AUC,
    DECIBEL,
    EPSILON,
    LABELS,
    LIMITS,
    NEAR,
    OF_BATCHES,
    OF_IMAGES,
    OF_ONE_IMAGE,
    SET,
    Outcome,
    about,
    answers,
    not_asked,
    values_of,
)
from huscf_flwr.privacy.finding import MEANS, SSIM, Finding
from huscf_flwr.privacy.findings import LABEL_SET, CutFindings
from huscf_flwr.privacy.registry import ON_REQUEST, attackable

NAMES = tuple(LIMITS)
"""What may have a ceiling."""
_NARROW, _IMAGES_A_ROUND, _IMAGES_A_WIDE_ROUND = 0.25, 15, 27
"""Images whose pixels are as many numbers as their statistics are in a round, of networks of that width and
of full width (docs/privacy.md)."""


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

    def check_asked(self, attacks: Collection[str], config: RunConfig) -> None:
        """Raise ``ValueError`` for a ceiling of which ``attacks`` on such a run cannot say whether it holds.

        Those of one image need none where an epsilon bounds them.
        """
        privacy, attacked = config.privacy, attackable(method_of(config))
        if EPSILON in self.values and not privacy.bounds_each_image:
            given = f"privacy.epsilon is {privacy.epsilon}, privacy.noise {privacy.noise}"
            raise ValueError(
                f"--ceiling {EPSILON}={self.values[EPSILON]:g}: {given}, so that nothing is bounded; set an "
                "epsilon with secret noise, or leave the ceiling out"
            )
        for name, most in self._of_attacks(bounded=privacy.bounds_each_image).items():
            tried = attacked.of_batches if name == LABELS else [*attacked.attacks, *attacked.of_batches]
            try:
                missing = not_asked(name, attacks, tried)
            except ValueError as error:
                how = "" if privacy.epsilon is None else " with privacy.epsilon"
                raise ValueError(f"--ceiling {name}={most:g}: method {config.method}{how}: {error}") from None
            if missing:
                raise ValueError(
                    f"--ceiling {name}={most:g}: --attacks {','.join(attacks)} cannot say whether it holds; "
                    f"add {', and '.join(missing)}"
                )

    def _of_attacks(self, *, bounded: bool) -> dict[str, float]:
        """Return the ceilings that attacks must hold."""
        others = (*OF_ONE_IMAGE, EPSILON) if bounded else (EPSILON,)
        return {name: most for name, most in self.values.items() if name not in others}

    def outcomes(self, audited: Audited) -> tuple[Outcome, ...]:
        """Return of each ceiling whether it holds, and why not, or what nobody has looked into.

        Those of images and of their labels rest on that of epsilon where one bounds them, and do not hold
        where it does not; what an epsilon leaves of an auc is a number of its own.
        """
        return tuple(self._outcome(name, audited) for name in self.values)

    def _outcome(self, name: str, audited: Audited) -> Outcome:
        rests = name in OF_BATCHES and audited.epsilon is not None
        names = {name, EPSILON} if rests else {name}
        alone = Ceilings({each: most for each, most in self.values.items() if each in names})
        against = tuple(alone.exceeded(audited))
        return Outcome(name, self.values[name], against, () if against else tuple(alone.caveats(audited)))

    def exceeded(self, audited: Audited) -> Iterator[str]:
        """Yield a sentence for each ceiling that is exceeded, or of which nothing shows that it is not.

        An attack that has failed shows nothing, nor does one that could not have found anything; and neither
        does what was not read.
        """
        yield from self._by_guarantee(audited)
        yield from self._by_seeded_noise(audited)
        wanted = self._of_attacks(bounded=audited.epsilon is not None)
        if wanted:
            for lost in audited.dropped_out:
                yield f"{audited.defence}: {lost.sentence}; that proves nothing"
        most = wanted.pop(AUC, None)
        yield from _attacked(audited, wanted)
        if most is not None:
            yield from auc_exceeded(audited, most)

    def _by_guarantee(self, audited: Audited) -> Iterator[str]:
        """Yield what the guarantee, or that there is none, has to do with ceilings."""
        bound, most = audited.epsilon, self.values.get(EPSILON)
        if most is not None and bound is None:
            yield f"{audited.defence}: no epsilon bounds anything (guarantee: {audited.guarantee})"
        if bound is None:
            return
        if most is not None and not bound <= most:
            yield f"{audited.defence}: {_above(EPSILON, bound, most)}"
        bounded = [name for name in self.values if name in OF_BATCHES]
        if most is None and bounded:
            yield (
                f"{audited.defence}: no image was attacked, and epsilon {bound:.3g} alone does not say that "
                f"{bounded[0]} holds; say how much is enough with --ceiling epsilon=VALUE"
            )
        auc = auc_at(bound, audited.delta)
        if AUC in self.values and not auc <= self.values[AUC]:
            yield (
                f"{audited.defence}: nobody asked who was trained on, and epsilon {bound:.3g} allows an auc "
                f"of {auc:.3g}, above {self.values[AUC]:g}"
            )

    def _by_seeded_noise(self, audited: Audited) -> Iterator[str]:
        """Yield each ceiling of images and labels that noise hides which a server can draw again."""
        if audited.config.privacy.epsilon is None or audited.epsilon is not None:
            return
        for name in self.values:
            if name in OF_BATCHES:
                yield (
                    f"{audited.defence}: {audited.config.privacy.noise} noise hides nothing from a server, "
                    f"and no attack was made beneath it: nothing shows that {name} holds"
                )

    def caveats(self, audited: Audited) -> Iterator[str]:
        """Yield against what ceilings of images hold, where something crosses that no attack is made on."""
        near = [name for name in self.values if name in NEAR]
        if not near:
            return
        asked = {found.attack for found in audited.findings}
        crosses = any(cut.activations_cross for cut in audited.cuts)
        for name in (each for each in ON_REQUEST if each in OF_IMAGES and crosses and each not in asked):
            yield f"{audited.defence}: {name} was not asked, and may have more"
        if audited.unattacked:
            yield (
                f"{audited.defence}: {' and '.join(near)} hold{'s' if len(near) == 1 else ''} against the "
                "attacks that are written here; "
                f"nobody here has looked for images in {audited.unattacked}"
            )


def _attacked(audited: Audited, wanted: Mapping[str, float]) -> Iterator[str]:
    """Yield a sentence for each ceiling of ``wanted`` that attacks exceed, or of which they say nothing."""
    for name in wanted:
        if not _is_answered(name, audited):
            why = "" if audited.epsilon is None else "; epsilon is of one image, and does not bound it"
            yield f"{audited.defence}: no attack was made that says whether a ceiling of {name} holds{why}"
    if wanted.keys() & NEAR.keys():
        yield from _few_observed(audited)
    for cut in audited.cuts:
        yield from _cut_exceeded(f"{audited.defence}, cut {cut.name}", cut, wanted)
    for found in audited.findings:
        yield from _finding_exceeded(f"{audited.defence}, {found.attack}, {found.learns}", found, wanted)


def _cut_exceeded(where: str, cut: CutFindings, wanted: Mapping[str, float]) -> Iterator[str]:
    if wanted.keys() & NEAR.keys():
        yield from _failed_steps(where, cut)
    for name, most in wanted.items():
        if name in (LABELS, SET) and name in cut.most and cut.most[name].below:
            who = clients_named(cut.most[name].below)
            yield f"{where}: the attacks on {name} failed on {who}, and prove nothing"
        for place, value in _of_cut(name, cut):
            if value is None:
                yield f"{where}: {_not_read(cut, name)}"
            elif not value <= most:
                yield f"{where}{place}: {_above(name, value, most)}"


def _not_read(cut: CutFindings, name: str) -> str:
    """Return that labels were not read, and what to do where it is the generator's head that hides them."""
    was = "were" if name == LABELS else "was"
    head = cut.cut.generator_head
    if name != LABELS or cut.activations_cross or head == 1:
        return f"{name} {was} not read, which proves nothing"
    return (
        f"{name} {was} not read, which proves nothing: no attack here reads labels through a generator's "
        f"head of {head} blocks; in a configuration take --cuts with one, or leave the ceiling out"
    )


def _finding_exceeded(where: str, found: Finding, wanted: Mapping[str, float]) -> Iterator[str]:
    names = [name for name in wanted if name in about(found)]
    if not names or not found.measure:
        return
    if found.failed:
        yield f"{where}: the attack failed{found.failed_on}, and proves nothing"
    for client, why in found.untried.items():
        yield f"{where}: not tried on client {client} ({why}), which proves nothing"
    if found.value is None and not (found.untried or found.withstood):
        yield f"{where}: not tried ({found.reason}), which proves nothing"
    values = dict(values_of(found))
    for name in names:
        if name not in values:
            yield from _without_value(where, found, name)
        elif not values[name] <= wanted[name]:
            yield f"{where}: {_above(name, values[name], wanted[name])}"


def _without_value(where: str, found: Finding, name: str) -> Iterator[str]:
    """Yield why a finding that has a number, but none by the ``name`` of a ceiling, does not hold it."""
    if found.measure == MEANS and found.value:
        yield f"{where}: they cross for {found.value:.1%} of classes; nothing shows that {name} holds"
    if found.measure == SSIM and found.value is not None:
        yield f"{where}: compared by SSIM alone, which proves nothing of {name}"


def _few_observed(audited: Audited) -> Iterator[str]:
    """Yield what is wrong where statistics of activations cross that may be of a few images.

    Each round tells as many numbers again of the same images.
    """
    config = audited.config
    a_round = _IMAGES_A_ROUND if config.model.width <= _NARROW else _IMAGES_A_WIDE_ROUND
    enough = max(LEAST_OBSERVED, config.rounds * a_round)
    if config.privacy.local_discriminator and config.privacy.min_observed < enough:
        yield (
            f"{audited.defence}: privacy.min_observed is {config.privacy.min_observed} with {config.rounds} "
            "rounds, so that statistics may be of as few images, on which no attack was made; take "
            f"{enough} or more"
        )


def _is_answered(name: str, audited: Audited) -> bool:
    """Return whether something was asked that the ceiling of this name is of."""
    of_cuts = (cut.images_asked if name in NEAR else bool(list(_of_cut(name, cut))) for cut in audited.cuts)
    return any(of_cuts) or any(answers(name, found) for found in audited.findings)


def _failed_steps(where: str, cut: CutFindings) -> Iterator[str]:
    if cut.failed_clients:
        yield f"{where}: the attacks failed on {clients_named(cut.failed_clients)}, and prove nothing"
    for step in cut.steps[1:]:
        if step.floor is None:
            why = "nobody knows what an attack has that works, which proves nothing"
            yield f"{where}, step {step.step}: {why}"
        if step.failed_clients:
            who = clients_named(step.failed_clients)
            yield f"{where}, step {step.step}: the attacks failed on {who}, and prove nothing"


def _of_cut(name: str, cut: CutFindings) -> Iterator[tuple[str, float | None]]:
    """Yield what was had of a cut by the name of a ceiling, with its step; None for what was not read."""
    if name in (*NEAR, LABELS):
        for step in cut.steps:
            yield f", step {step.step}", float(getattr(step, name))
    if name == LABELS and not cut.steps:
        yield "", cut.labels
    if name == SET:
        most = cut.most.get(LABEL_SET)
        yield "", None if most is None else most.value


def _above(name: str, value: float, most: float) -> str:
    """Return that a ceiling is exceeded, with as many digits as it takes to see that."""
    digits = next((few for few in (3, 5) if f"{value:.{few}g}" != f"{most:.{few}g}"), 9)
    return f"{name} is {value:.{digits}g}{' dB' if name in DECIBEL else ''}, above {most:g}"


def _number(text: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"--ceiling {text}: '{value}' is no number; write something like psnr=20")
    least, most = LIMITS[name]
    if not least <= number <= most:
        between = f"from {least:g} to {most:g}" if math.isfinite(most) else f"{least:g} or more"
        raise ValueError(f"--ceiling {text}: {name} is {between}; write a value that it can have")
    return number
