"""What hinders attacks, by name, and the runs that show how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from huscf_flwr.config import LEAST_OBSERVED, RunConfig
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.models import Cut, model_spec_of, with_local_discriminator
from huscf_flwr.privacy.registry import attackable
from huscf_flwr.privacy.view import cut_name

UNDEFENDED = "none"
"""The name of no defence at all."""

_UNDEFENDED: Mapping[str, Any] = {
    "fake_labels": "real",
    "wire.preset": "exact",
    "privacy.local_discriminator": False,
    "privacy.activation_noise": 0.0,
}
DEFENCES: Mapping[str, Mapping[str, Any]] = {
    UNDEFENDED: {},
    "fake-labels": {"fake_labels": "uniform"},
    "half": {"wire.preset": "half"},
    "smallest": {"wire.preset": "smallest"},
    "local-discriminator": {"privacy.local_discriminator": True, "fake_labels": "uniform"},
    "local-own-mix": {"privacy.local_discriminator": True, "fake_labels": "own-mix"},
    "noise-0.5": {"privacy.activation_noise": 0.5},
    "noise-1": {"privacy.activation_noise": 1.0},
    "noise-2": {"privacy.activation_noise": 2.0},
    "noise-8": {"privacy.activation_noise": 8.0},
}
"""Settings by the name of a defence; none of them has a formal guarantee.

``fake-labels``: fakes have labels of their own, so exchange 1 does not tell those of the real batch.
``half`` and ``smallest``: activations cross with 11 bits of precision, or in 3 or 4 bits.
``noise-1``: activations of real images cross with noise, one of their spreads wide.
``local-discriminator``: clients keep all of it, so no activation of a real image crosses. Of a cut the
generator's two numbers count. ``local-own-mix``: the same, with fakes that have each label as often as the
client, which tells how often that is.
"""


def variants(
    config: RunConfig, *, rounds: int, cuts: Sequence[Cut], defences: Sequence[str]
) -> list[tuple[RunConfig, str]]:
    """Return the configuration of every run, with the name of its defence."""
    each_cut, each_defence = dict.fromkeys(cuts or (None,)), dict.fromkeys(defences)
    planned = [
        (_variant(config, rounds, cut, defence), defence) for cut in each_cut for defence in each_defence
    ]
    # Cuts that differ in a discriminator that is local are one.
    return list({variant.name: (variant, defence) for variant, defence in planned}.values())


def _variant(config: RunConfig, rounds: int, cut: Cut | None, defence: str) -> RunConfig:
    content = config.model_dump()
    settings = attackable(method_of(config)).settings
    # Noise with an epsilon goes with settings of its own, and is attacked with these.
    undefended = _UNDEFENDED if config.privacy.epsilon is None else {}
    for key, value in {**undefended, **DEFENCES[defence], **settings}.items():
        section, _, name = key.rpartition(".")
        (content[section] if section else content)[name] = value
    if not content["privacy"]["local_discriminator"]:
        # Whoever sends activations tells no statistics, and would be refused with a bound on them.
        content["privacy"]["min_observed"] = LEAST_OBSERVED
    elif cut is not None:
        cut = with_local_discriminator(model_spec_of(config), cut)
    content["rounds"] = rounds
    content["output"] = config.output / f"{config.name}-privacy"
    content["name"] = defence if cut is None else f"{defence}-cut-{cut_name(cut)}"
    if cut is not None:
        content["cuts"] |= {"solver": "fixed", "fixed": tuple(cut), "dynamic": False}
    return resolved(RunConfig.model_validate(content))
