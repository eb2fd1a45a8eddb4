"""Choosing how numbers cross together with the cuts, by the step that the latency model predicts.

Fewer bytes need a faster link less, but both ends compute for them, and something of the numbers is lost. So
of the presets with which a step is predicted to take hardly longer than with the fastest, the one is taken
that loses least. There is one for all clients of a session: they go through its exchanges together, so that
each waits for the slowest anyway, and what a client loses of its numbers is in the bodies of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from huscf_flwr.config import PRESETS, WirePreset
from huscf_flwr.cuts.limits import NoLegalCutError

HARDLY_LONGER = 1.01
"""Steps that differ by less than this factor are taken as equal."""


@dataclass(frozen=True)
class PresetChoice:
    """The preset of a session, and why it was chosen."""

    preset: WirePreset
    step_s: Mapping[WirePreset, float]
    """Predicted seconds of a step, with the cuts that are best for each; not of those without a legal cut."""
    is_kept: bool = False
    """Whether it stays what an earlier part of the run has chosen, whatever is predicted now."""

    def told(self) -> str:
        """Return preset and reason in one line."""
        if not self.step_s:
            return f"wire.preset: auto is {self.preset}: this method has no session in which numbers cross"
        if self.is_kept:
            return f"wire.preset: auto stays {self.preset}, as chosen when the run began"
        seconds = ", ".join(f"{preset} {step_s:.4g} s" for preset, step_s in self.step_s.items())
        return f"wire.preset: auto is {self.preset}; predicted for a step: {seconds}"

    def as_json(self) -> dict[str, object]:
        """Return everything, in plain values."""
        return {"preset": self.preset, "step_s": dict(self.step_s), "reason": self.told()}

    def keeping(self, preset: WirePreset) -> PresetChoice:
        """Return the choice of a run that has trained with ``preset``."""
        return replace(self, preset=preset, is_kept=True)


def choose_preset(
    step_seconds: Callable[[WirePreset], float], presets: Sequence[WirePreset] = PRESETS
) -> PresetChoice:
    """Return the most exact of the presets that are hardly slower than the best.

    ``presets`` are given from the most exact on.
    ``step_seconds`` predicts a step with a preset; where it raises ``NoLegalCutError``, for limits on energy,
    the preset is left out, and the error raised if all are.
    """
    found: dict[WirePreset, float] = {}
    forbidden: NoLegalCutError | None = None
    for preset in presets:
        try:
            found[preset] = step_seconds(preset)
        except NoLegalCutError as error:
            forbidden = error
    if not found:
        raise forbidden or ValueError("there are no presets to choose from")
    longest_s = HARDLY_LONGER * min(found.values())
    return PresetChoice(next(preset for preset, step_s in found.items() if step_s <= longest_s), found)
