"""What a run computes from beside its settings, by content: files may be moved or renamed, but not changed.

A checkpoint knows it, so that a run does not go on with other networks, another scenario or other images; and
so does a comparison, which knows finished runs again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pydantic import BaseModel

from huscf_flwr.conf_files import ConfError, known_confs
from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import Device, Server, load_devices
from huscf_flwr.data import LabelledImages, Population, scenario_of
from huscf_flwr.data.progress import counted
from huscf_flwr.methods import method_of
from huscf_flwr.methods.contract import Client
from huscf_flwr.models import model_spec_of
from huscf_flwr.models.classifier_spec import load_classifier_family
from huscf_flwr.models.decoders import load_decoder_spec

_AT_ONCE = 4096
_NEWER = frozenset({"partitioner", "by_holder", "hub", "image_column", "label_column"})
_NEWER_OF_DEVICES = frozenset({"delay_ms", "packing_ns"})
"""Of devices, and of the server."""
_RENAMED = {"least_discriminator_head": "minimum_discriminator_head"}
"""Settings of a device that some hashes know by another name."""
OTHER_IMAGES = "other images"
_IN_WORDS = {
    "scenario": "another scenario",
    "model": "another network",
    "devices": "other device profiles",
    "method_version": "another version of the method",
    "images": OTHER_IMAGES,
    "classifiers": "other classifiers",
    "decoder": "another decoder",
}


@dataclass(frozen=True)
class Origin:
    """Hashes (SHA-256) of what a run computes from, beside its settings."""

    scenario: str
    """Of the scenario's content, with the domains that were taken."""
    model: str
    """Of the networks' specification."""
    devices: str
    """Of the device profiles."""
    method_version: int
    images: str | None = None
    """Of all images and labels, and of who holds which; None if nobody has looked."""
    classifiers: str | None = None
    """Of the family of classifiers; None if clients have none, as of a GAN, or none has this name."""
    decoder: str | None = None
    """Of the decoder of their features; None likewise."""

    def differences(self, other: Origin) -> list[str]:
        """Return, in words, what differs in ``other``; what nobody has looked at does not."""
        before, now = asdict(self), asdict(other)
        return [
            words
            for name, words in _IN_WORDS.items()
            if before[name] != now[name] and None not in (before[name], now[name])
        ]


def origin_of(config: RunConfig, images: str | None = None) -> Origin:
    """Return what a run of ``config`` computes from; ``images`` is their hash, if somebody has looked."""
    method = method_of(config)
    has_classifiers = method.client.classifiers is not Client.classifiers
    return Origin(
        scenario=_hash_of(_scenario(config)),
        model=_hash_of(_model(config)),
        devices=_hash_of(_devices(config)),
        method_version=method.version,
        images=images,
        classifiers=_hash_of_file(lambda: load_classifier_family(config.classifier.family), has_classifiers),
        decoder=_hash_of_file(lambda: load_decoder_spec(config.classifier.decoder), has_classifiers),
    )


def images_hash(population: Population) -> str:
    """Return the hash of all images and labels, and of which client holds which."""
    found = hashlib.sha256()
    for name, domain in population.domains.items():
        found.update(name.encode())
        for part in (domain.train, domain.test):
            _take_in(found, part)
    for member in population.partitions:
        found.update(f"{member.client} {member.domain} {len(member.indices)}".encode())
        for places in (member.indices, member.held_out):
            found.update(places.astype("<i8").tobytes())
    return found.hexdigest()


def own_images_hash(images: LabelledImages) -> str:
    """Return the hash of one client's images and labels, which it tells nobody."""
    found = hashlib.sha256()
    _take_in(found, images)
    return found.hexdigest()


def _take_in(found: hashlib._Hash, images: LabelledImages) -> None:
    for tensor in (images.images, images.labels):
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        pieces = torch.split(tensor, _AT_ONCE)
        for piece in counted(pieces, len(tensor), "taking the hash of images", each=_AT_ONCE):
            # Hashed where it lies: bytes of it would be a copy of all images.
            found.update(piece.contiguous().numpy().data)


def _scenario(config: RunConfig) -> dict[str, Any]:
    """Return a scenario without the places of its images, which are looked at themselves."""
    content = _content(scenario_of(config))
    domains = [{**domain, "folder": None, "hub": None} for domain in content["domains"]]
    return _said({**content, "domains": [_said(domain) for domain in domains]})


def _said(content: dict[str, Any]) -> dict[str, Any]:
    """Return what is said with settings that are newer than some hashes: unsaid, they change nothing."""
    return {name: value for name, value in content.items() if value or name not in _NEWER}


def _model(config: RunConfig) -> dict[str, Any]:
    content = _content(model_spec_of(config))
    # The names of our own files have always been part of the hash; that of a user's file may change.
    return content if content["name"] in known_confs("models") else {**content, "name": ""}


def _devices(config: RunConfig) -> dict[str, Any]:
    content = _content(load_devices(config.cuts.devices))
    devices = [_profile(Device, each) for each in content["devices"]]
    return {**content, "server": _profile(Server, content["server"]), "devices": devices}


def _profile(kind: type[BaseModel], content: dict[str, Any]) -> dict[str, Any]:
    newer = _NEWER_OF_DEVICES & kind.model_fields.keys()
    unsaid = {name for name in newer if content[name] == kind.model_fields[name].get_default()}
    return {_RENAMED.get(name, name): value for name, value in content.items() if name not in unsaid}


def _hash_of_file(load: Callable[[], BaseModel], is_used: bool) -> str | None:
    if not is_used:
        return None
    try:
        return _hash_of({**_content(load()), "name": ""})
    except ConfError:
        return None


def _content(part: BaseModel) -> dict[str, Any]:
    return part.model_dump(mode="json", exclude={"description"})


def _hash_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
