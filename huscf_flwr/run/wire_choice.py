"""``wire.preset: auto``: how numbers cross is chosen before the first round, and stays."""

from __future__ import annotations

from collections.abc import Mapping

from huscf_flwr.config import PRESETS, RunConfig, WirePreset
from huscf_flwr.cuts import Device, PresetChoice, choose_preset
from huscf_flwr.methods.contract import LockStepClient, Method
from huscf_flwr.methods.huscf.cut_choice import cut_problem, declared
from huscf_flwr.models import model_spec_of


def chosen_wire(
    config: RunConfig,
    method: type[Method],
    devices: Mapping[int, Device],
    before: WirePreset | None = None,
) -> tuple[RunConfig, PresetChoice | None]:
    """Return the run with the preset that its sessions have, and the choice; None if nothing is to be chosen.

    ``devices`` are the profiles by client id, ``before`` is what the run has trained with that this one goes
    on from. Every preset is priced with the cuts that would be chosen with it. A method without sessions
    has nothing to pack, and crosses exactly.

    Raises ``ValueError`` if nobody has said what a step of the method costs.
    """
    if config.wire.preset != "auto":
        return config, None
    if not issubclass(method.client, LockStepClient):
        choice = PresetChoice("exact", {})
        return config.with_preset(choice.preset), choice
    narrow = config.compute.precision == "bfloat16"
    presets = tuple(preset for preset in PRESETS if not (narrow and preset == "half"))
    choice = choose_preset(lambda preset: _step_seconds(config.with_preset(preset), method, devices), presets)
    if before is not None:
        choice = choice.keeping(before)
    return config.with_preset(choice.preset), choice


def _step_seconds(config: RunConfig, method: type[Method], devices: Mapping[int, Device]) -> float:
    price = method.price(config, cut_problem(config, model_spec_of(config), declared(config, devices)))
    if price is None:
        raise ValueError(
            f"wire.preset is auto, but {method.__name__}.price says nothing of what a step costs; set one of "
            f"{', '.join(PRESETS)}"
        )
    return price.step_s
