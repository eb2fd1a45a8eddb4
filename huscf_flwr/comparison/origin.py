"""What a finished run came from, so that it is known again and never taken for another.

Two runs are the same if what they compute is: their settings but for those that say where and how fast it is
computed, the content of the files that these settings name, the images of every client, and the version of
the method.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import load_devices
from huscf_flwr.data import Population, scenario_of
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.models import model_spec_of
from huscf_flwr.models.classifier_spec import load_classifier_family

ELSEWHERE = frozenset(
    {
        *("name", "output", "resume", "resume_round", "resolved", "mode", "tensorboard"),
        *("min_hosts", "attempts", "round_seconds", "executor", "checkpoint"),
        *(
            "compute.device",
            "compute.threads",
            "compute.keep_memory",
            "data.root",
            "data.cache",
            "evaluation.seconds",
        ),
        *(
            "evaluation.sample_columns",
            "data.scenario",
            "data.domains",
            "model.spec",
            "cuts.devices",
            "classifier.family",
        ),
    }
)
"""Settings that decide nothing that is computed, or name a file whose content is looked at instead."""


SAFE_TO_OVERRIDE = ("compute.device", "compute.threads", "compute.keep_memory", "data.root", "data.cache")
"""Those of them that say where a run is computed, and from where it takes its images."""

_NO_MATTER = {"description": True, "domains": {"__all__": {"folder"}}}
"""Of a scenario: where a domain's images lie; they are looked at themselves."""

_IN_WORDS = {
    "scenario": "another scenario",
    "model": "other networks",
    "devices": "other device profiles",
    "method_version": "another version of the method",
    "images": "other images",
}


@dataclass(frozen=True)
class Origin:
    """Hashes (SHA-256) of what a run computes from, beside its settings."""

    scenario: str
    """Of the scenario's content, with the domains that were taken."""
    model: str
    """Of the networks' specification, and of the family of classifiers."""
    devices: str
    """Of the device profiles."""
    method_version: int
    images: str | None = None
    """Of all images and labels, and of who holds which; None if nobody has looked."""

    def differences(self, other: Origin) -> list[str]:
        """Return, in words, what differs in ``other``; images that nobody has looked at do not."""
        found = []
        for name, own in asdict(self).items():
            others = getattr(other, name)
            if own != others and None not in (own, others):
                found.append(_IN_WORDS[name])
        return found


def origin_of(config: RunConfig, population: Population | None = None) -> Origin:
    """Return what a run of ``config`` computes from; its images too, if the ``population`` is given."""
    return Origin(
        scenario=_hash_of(scenario_of(config), exclude=_NO_MATTER),
        model=_hash_of(model_spec_of(config), load_classifier_family(config.classifier.family)),
        devices=_hash_of(load_devices(config.cuts.devices)),
        method_version=method_of(config).version,
        images=None if population is None else images_hash(population),
    )


def images_hash(population: Population) -> str:
    """Return the hash of all images and labels, and of which client holds which."""
    found = hashlib.sha256()
    for name, domain in population.domains.items():
        found.update(name.encode())
        for part in (domain.train, domain.test):
            for tensor in (part.images, part.labels):
                found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
                found.update(tensor.contiguous().numpy().tobytes())
    for member in population.partitions:
        found.update(f"{member.client} {member.domain} {len(member.indices)}".encode())
        for places in (member.indices, member.held_out):
            found.update(places.astype("<i8").tobytes())
    return found.hexdigest()


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


def _hash_of(*contents: BaseModel, exclude: Any = None) -> str:
    found = hashlib.sha256()
    for content in contents:
        found.update(json.dumps(content.model_dump(mode="json", exclude=exclude), sort_keys=True).encode())
    return found.hexdigest()
