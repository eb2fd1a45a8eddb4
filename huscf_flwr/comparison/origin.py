"""Which settings a finished run had, so that it is known again and never taken for another.

Two runs are the same if what they compute is: their settings but for those that say where and how fast it is
computed, and what they compute from (``huscf_flwr.run.origin``): the content of the files that these settings
name, the images of every client, and the version of the method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.methods import resolved

ELSEWHERE = frozenset(
    {
        *("name", "output", "resume", "resume_round", "resolved", "mode", "tensorboard"),
        *("min_hosts", "attempts", "round_seconds", "executor", "checkpoint"),
        *(
            "compute.device",
            "compute.threads",
            "compute.keep_memory",
            "compute.measure_memory",
            "data.root",
            "data.cache",
            "evaluation.seconds",
            "evaluation.inception",
        ),
        *(
            "evaluation.sample_columns",
            "data.scenario",
            "data.domains",
            "model.spec",
            "cuts.devices",
            "classifier.family",
            "classifier.decoder",
        ),
    }
)
"""Settings that decide nothing that is computed, or name a file whose content is looked at instead."""


SAFE_TO_OVERRIDE = (
    "compute.device",
    "compute.threads",
    "compute.keep_memory",
    "compute.measure_memory",
    "data.root",
    "data.cache",
    "evaluation.inception",
)
"""Those of them that say where a run is computed, and where images and weights of the judge lie."""


def setting_differences(kept: Mapping[str, Any], config: RunConfig) -> list[str]:
    """Return, in words, which settings that decide what is computed differ from those of ``config``.

    ``kept`` is as ``config.yaml`` has it. A setting that it does not have was not there yet when it was
    written, and had its default: new settings leave what is computed as it was until somebody sets them.
    """
    before, now = dict(_deciding(kept)), dict(_deciding(config.model_dump(mode="json")))
    defaults = dict(_deciding(resolved(RunConfig(method=config.method)).model_dump(mode="json")))
    return [
        f"{key} was {was}, and is {now.get(key)}"
        for key in dict.fromkeys([*before, *now])
        if (was := before.get(key, defaults.get(key))) != now.get(key)
    ]


def _deciding(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if name in ELSEWHERE:
            continue
        if isinstance(value, Mapping):
            yield from _deciding(value, f"{name}.")
        else:
            yield name, value
