"""What hinders attacks, by name, and the runs that show how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huscf_flwr.config import LEAST_OBSERVED, RunConfig
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.models import Cut, model_spec_of, with_local_discriminator
from huscf_flwr.privacy.registry import attackable
from huscf_flwr.privacy.view import cut_name

AS_CONFIGURED = "as configured"
"""The name of a configuration with the defences that it has itself."""
UNDEFENDED = "none"
"""The name of no defence at all."""

_UNDEFENDED: Mapping[str, Any] = {
    "fake_labels": "real",
    "wire.preset": "exact",
    "privacy.local_discriminator": False,
    "privacy.activation_clip": None,
    "privacy.activation_noise": 0.0,
}
DEFENCES: Mapping[str, Mapping[str, Any]] = {
    UNDEFENDED: {},
    "fake-labels": {"fake_labels": "uniform"},
    "own-mix": {"fake_labels": "own-mix"},
    "half": {"wire.preset": "half"},
    "smallest": {"wire.preset": "smallest"},
    "local-discriminator": {"privacy.local_discriminator": True, "fake_labels": "uniform"},
    "local-own-mix": {"privacy.local_discriminator": True, "fake_labels": "own-mix"},
    "clip-0.5": {"privacy.activation_clip": 0.5},
    "noise-0.5": {"privacy.activation_noise": 0.5},
    "noise-1": {"privacy.activation_noise": 1.0},
    "noise-2": {"privacy.activation_noise": 2.0},
    "noise-8": {"privacy.activation_noise": 8.0},
}
"""Settings by the name of a defence, beside those of no defence; none of them has a formal guarantee.

``fake-labels``: fakes have labels of their own, so exchange 1 does not tell those of the real batch.
``own-mix``: the same, each as often as the client has it, which exchange 1 tells.
``half`` and ``smallest``: activations cross with 11 bits of precision, or in 3 or 4 bits.
``clip-0.5``: activations of each real image cross scaled down to a root mean square of 0.5.
``noise-1``: activations of real images cross with noise, one of their spreads wide.
``local-discriminator``: clients keep all of it, so no activation of a real image crosses. Of a cut the
generator's two numbers count. ``local-own-mix``: the same, with fakes that have each label as often as the
client, which tells how often that is.
"""


@dataclass(frozen=True)
class Variant:
    """A configuration with a cut and a defence."""

    config: RunConfig
    defence: str
    replaced: tuple[str, ...]
    """Settings of the configuration in whose place the defence has put others, as ``name: value``."""


def variants(
    config: RunConfig, *, rounds: int, cuts: Sequence[Cut], defences: Sequence[str]
) -> list[Variant]:
    """Return the configuration of every run, with the name of its defence.

    ``AS_CONFIGURED`` keeps the configuration's own defences. Any other is put in the place of all of them, so
    that runs differ by it alone.
    """
    each_cut, each_defence = dict.fromkeys(cuts or (None,)), dict.fromkeys(defences)
    planned = [_variant(config, rounds, cut, defence) for cut in each_cut for defence in each_defence]
    # Cuts that differ in a discriminator that is local are one.
    return list({variant.config.name: variant for variant in planned}.values())


def _variant(config: RunConfig, rounds: int, cut: Cut | None, defence: str) -> Variant:
    content = config.model_dump()
    named = {} if defence == AS_CONFIGURED else {**_UNDEFENDED, **DEFENCES[defence]}
    for key, value in {**named, **attackable(method_of(config)).settings}.items():
        section, name = _place(content, key)
        section[name] = value
    if named and not content["privacy"]["local_discriminator"]:
        # Whoever sends activations tells no statistics, and would be refused with a bound on them.
        content["privacy"]["min_observed"] = LEAST_OBSERVED
    if content["privacy"]["local_discriminator"] and cut is not None:
        cut = with_local_discriminator(model_spec_of(config), cut)
    content["rounds"] = rounds
    content["output"] = config.output / f"{config.name}-privacy"
    name = defence.replace(" ", "-")
    content["name"] = name if cut is None else f"{name}-cut-{cut_name(cut)}"
    if cut is not None:
        content["cuts"] |= {"solver": "fixed", "fixed": tuple(cut), "dynamic": False}
    replaced = _replaced(config, content) if named else ()
    return Variant(resolved(RunConfig.model_validate(content)), defence, replaced)


def _replaced(config: RunConfig, content: dict[str, Any]) -> tuple[str, ...]:
    """Return the defences of the configuration that are others in the ``content`` of its variant."""
    found, before = [], config.model_dump()
    for key, undefended in {**_UNDEFENDED, "privacy.min_observed": LEAST_OBSERVED}.items():
        own, now = (section[name] for section, name in (_place(before, key), _place(content, key)))
        if own not in (now, undefended):
            found.append(f"{key}: {own}")
    return tuple(found)


def _place(content: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """Return the section of a setting with a dotted name, and its name there."""
    section, _, name = key.rpartition(".")
    return (content[section] if section else content), name
