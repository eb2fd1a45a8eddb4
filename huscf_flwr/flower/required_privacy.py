"""What the owner of a device insists on: a run without it is refused, whatever order comes."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.app import Context

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.config import LEAST_OBSERVED, PRIVACY_NEEDS, PrivacySection, RunConfig
from huscf_flwr.flower.owner import largest, largest_delta
from huscf_flwr.methods import method_named
from huscf_flwr.methods.sent_losses import honoured

_DEMANDS: Mapping[str, tuple[str, str]] = {
    **{
        name.replace("_", "-"): (f"privacy.{name}", "true")
        for name, field in PrivacySection.model_fields.items()
        if field.default is False
    },
    "uniform-labels": ("fake_labels", "uniform"),
}
"""What may be demanded: each setting of privacy that is off unless a run says otherwise, and where fakes'
labels are from. Each has the setting of a run, and what it must be."""


class RefusedSessionError(ValueError):
    """The node config demands privacy that a run does not have, so no client of the SuperNode takes part."""


def demanded_settings(node: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Return by what `require-privacy` names which settings a run must have, and which value of each.

    Raises ``ValueError`` for a name of which there is no such setting.
    """
    names = [part.strip() for part in str(node.get("require-privacy", "")).split(",")]
    for name in filter(None, names):
        if name not in _DEMANDS:
            raise ValueError(
                f"node config: require-privacy: '{name}'{did_you_mean(name, _DEMANDS)}: there are "
                f"{', '.join(_DEMANDS)}"
            )
    return {name: _DEMANDS[name] for name in names if name}


def check_required_privacy(context: Context, config: RunConfig) -> None:
    """Raise ``RefusedSessionError`` unless a run has all settings of privacy that the node config demands.

    Also ``ValueError`` if it demands something that is no such setting.
    """
    for key, (setting, wanted) in demanded_settings(context.node_config).items():
        found = _said(config, setting)
        if found != wanted:
            raise RefusedSessionError(
                f"require-privacy is {key}, but the run has {setting} = {found}, and so clients would send "
                f"more than their owner allows; {_instead(config, setting, wanted)}"
            )
        if setting == "privacy.local_discriminator" and config.privacy.min_observed < LEAST_OBSERVED:
            raise RefusedSessionError(
                f"require-privacy is {key}, but the run has privacy.min_observed = "
                f"{config.privacy.min_observed}, and so clients would tell statistics of fewer images than "
                f"{LEAST_OBSERVED}; run with at least so many, or without this SuperNode"
            )
    for key, limit in _limits(context.node_config).items():
        if config.privacy.epsilon is None:
            raise RefusedSessionError(
                f"{key} is {limit:g}, but the run has no privacy.epsilon, and so clients would send what has "
                "no noise; run with one, or without this SuperNode"
            )


def conditions(node: Mapping[str, object]) -> list[str]:
    """Return what a run must have for a SuperNode to take part: settings, and which values of each.

    Raises ``ValueError`` for a demand or limit that is none.
    """
    demanded = demanded_settings(node)
    found = [f"{setting} = {wanted}" for setting, wanted in demanded.values()]
    found += [f"privacy.min_observed >= {LEAST_OBSERVED}"] if "local-discriminator" in demanded else []
    return found + (["privacy.epsilon"] if _limits(node) else [])


def _limits(node: Mapping[str, object]) -> dict[str, float]:
    limits = {"largest-epsilon": largest(node, "largest-epsilon"), "largest-delta": largest_delta(node)}
    return {key: limit for key, limit in limits.items() if limit is not None}


def _said(config: RunConfig, setting: str) -> str:
    """Return what a run has of a setting, as it is written in a configuration."""
    section, _, name = setting.rpartition(".")
    return str(getattr(getattr(config, section) if section else config, name)).lower()


def _instead(config: RunConfig, setting: str, wanted: str) -> str:
    """Return what to do for a run that lacks a setting: its method may be one that cannot have it."""
    name = setting.removeprefix("privacy.")
    if name in PRIVACY_NEEDS:
        privacy = config.privacy.model_copy(update={name: True})
        method = method_named(config.method).variant(config.model_copy(update={"privacy": privacy}))
        if name not in honoured(method):
            return (
                f"method {config.method} cannot have it: {PRIVACY_NEEDS[name]}, or run without this SuperNode"
            )
    return f"run with it set to {wanted}, or without this SuperNode"
