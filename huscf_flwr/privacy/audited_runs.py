"""Runs that are audited: a round of a run that is there, replayed; or a short training of a configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from huscf_flwr.config import LEAST_OBSERVED, RunConfig, load_config
from huscf_flwr.evaluation.figures import sample_grid
from huscf_flwr.evaluation.report import write_report
from huscf_flwr.evaluation.run_record import PRIVACY, read_run
from huscf_flwr.existing import check_folder
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Orders
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.metrics import metrics_shown
from huscf_flwr.models import Cut, model_spec_of, with_local_discriminator
from huscf_flwr.privacy.audit import ClientAudit, audit_client, recorded_steps
from huscf_flwr.privacy.black_box import FIRST_STEPS
from huscf_flwr.privacy.evidence import Caught, Evidence
from huscf_flwr.privacy.finding import Finding
from huscf_flwr.privacy.findings import CutFindings, best_attack, findings_by_cut, verdict
from huscf_flwr.privacy.guarantee import NONE, bounding_epsilon, guarantee, sentence
from huscf_flwr.privacy.registry import ON_IMAGES, attackable
from huscf_flwr.privacy.server import SHOWS_LABELS
from huscf_flwr.privacy.view import cut_name, cut_or_none
from huscf_flwr.run.check import CheckedRun, check_place, check_run, check_settings
from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.display import Display
from huscf_flwr.run.folder_lock import held
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.transcript import Transcript, TranscriptRecorder
from huscf_flwr.session import DIRECTIONS, Direction, HostTimer, Ledger, wire_type_of
from huscf_flwr.tensor_files import write_json

PICTURED = 10
"""Images of a client in a picture."""

AS_TRAINED = "as trained"
"""Stands for the defences of a run that is there."""

_UNDEFENDED: Mapping[str, Any] = {
    "fake_labels": "real",
    "wire.preset": "exact",
    "privacy.local_discriminator": False,
    "privacy.activation_noise": 0.0,
}
DEFENCES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
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


@dataclass(frozen=True)
class Audited:
    """What was found of one run."""

    config: RunConfig
    defence: str
    round: int
    """That was recorded."""
    cuts: tuple[CutFindings, ...]
    """What was found of activations of real images; empty if there are none, or nobody looked at them.

    A run with a guarantee has none: it bounds all attacks, and one more round may not be left.
    """
    findings: tuple[Finding, ...]
    """What else was found, and what does not apply."""
    megabytes: float | None
    """That a client sends and receives in a step, the mean over those attacked; None without steps."""

    @property
    def verdict(self) -> list[str]:
        """What the server gets, in words."""
        if self.guarantee != NONE:
            return [sentence(self.config, self.config.folder)]
        return verdict(self.cuts)

    @property
    def guarantee(self) -> str:
        """What no attack can break, in words; ``none`` without one."""
        return guarantee(self.config, self.config.folder)

    @property
    def epsilon(self) -> float | None:
        """What bounds every attack, at ``privacy.delta``; None without noise, or if it is no secret."""
        return bounding_epsilon(self.config, self.config.folder)

    @property
    def delta(self) -> float:
        """Probability that ``epsilon`` fails."""
        return self.config.privacy.delta

    @property
    def scores(self) -> dict[str, float]:
        """Means over the domains of what the run's products are worth, where they were judged."""
        found = read_run(self.config.folder).domains.values()
        means = {}
        for metric in metrics_shown("audits"):
            known = [scores[metric.name] for scores in found if metric.name in scores]
            if known:
                means[metric.name] = fmean(known)
        return means

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "run": str(self.config.folder),
            "defence": self.defence,
            "round": self.round,
            "guarantee": None if self.guarantee == NONE else self.guarantee,
            "epsilon": self.epsilon,
            "megabytes_a_step": self.megabytes,
            "scores": self.scores,
            "cuts": [found.as_json() for found in self.cuts],
            "findings": [found.as_json() for found in self.findings],
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Wanted:
    """What is looked at in every run."""

    attacks: Collection[str]
    clients_of_a_cut: int
    """At most so many clients with the same cut are attacked; of all clients, where there are no cuts."""
    shadows: int = 4
    """Shadow models that an attack may train."""

    def steps(self, count: int) -> tuple[int, ...]:
        """Return which steps of a round with ``count`` are kept."""
        first = range(1, min(FIRST_STEPS, count) + 1) if "A5" in self.attacks else ()
        return tuple(sorted({*recorded_steps(count), *first}))

    @property
    def throughout(self) -> tuple[tuple[str, Direction], ...]:
        """What is kept of every step of a round."""
        return (SHOWS_LABELS,) if "A3" in self.attacks else ()

    def clients(self, orders: Orders) -> tuple[int, ...]:
        """Return the clients to attack: the first with each cut."""
        by_cut: dict[Cut | None, list[int]] = {}
        for client, order in orders.clients.items():
            by_cut.setdefault(cut_or_none(order), []).append(client)
        return tuple(sorted(k for same in by_cut.values() for k in same[: self.clients_of_a_cut]))


def audit_run(folder: Path, wanted: Wanted, display: Display) -> Audited:
    """Replay one more round of the run in ``folder`` from its last checkpoint; leave what was found in it.

    Raises ``ValueError`` if it has no checkpoint, or nobody has written attacks on its method.
    """
    config = resolved(load_config(str(folder / "config.yaml")))
    attackable(method_of(config))
    last = last_round(folder)
    if last is None:
        raise ValueError(f"{folder}: no checkpoint to go on from; train it for at least one round first")
    if config.privacy.epsilon is not None:
        return Audited(
            config.model_copy(update={"output": folder.parent, "name": folder.name}),
            AS_TRAINED,
            last,
            (),
            (),
            None,
        )
    check_folder(folder, "the run's folder", "copy it to where you may write")
    with held(folder), tempfile.TemporaryDirectory(prefix="huscf-privacy-") as scratch:
        replayed = config.model_copy(
            update={
                "output": Path(scratch),
                "resume": folder,
                "resume_round": None,
                "rounds": last + 1,
            }
        )
        recorded = _recorded(replayed, wanted, display, rounds=last + 1)
        return _audited(config, AS_TRAINED, recorded, wanted, display)


def audit_config(
    config: RunConfig,
    *,
    rounds: int,
    cuts: Sequence[Cut],
    defences: Sequence[str],
    wanted: Wanted,
    display: Display,
) -> list[Audited]:
    """Train ``config`` for some rounds with each of ``cuts`` and ``defences``, and audit the last of them.

    Without ``cuts``, clients have those of the configuration. Each is a run in a folder of its own, and is
    judged, so that it is seen what a defence costs.
    """
    method = method_of(config)
    attackable(method)
    if config.privacy.epsilon is not None:
        raise ValueError(
            f"privacy.epsilon is {config.privacy.epsilon}, which bounds all attacks, so none is made: train "
            "it with huscf run, and then huscf privacy RUN says what is guaranteed"
        )
    if cuts and not issubclass(method, HuSCF):
        raise ValueError(f"--cuts: {config.method} cuts no network; leave it out")
    per_client = config.settings(HuSCFSettings).initialisation == "per-client"
    if rounds == 1 and per_client and issubclass(method, HuSCF):
        raise ValueError(
            "huscf.initialisation: per-client, so before round 1 the server has sent no weights that it can "
            "invert; take --rounds 2"
        )
    planned = variants(config, rounds=rounds, cuts=cuts, defences=defences)
    for variant, _ in planned:
        check_place(variant)
        check_settings(variant, method_of(variant))
    found = []
    for variant, defence in planned:
        display.note(f"training {variant.name}")
        recorded = _recorded(variant, wanted, display)
        found.append(_audited(variant, defence, recorded, wanted, display))
    return found


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
    for key, value in {**_UNDEFENDED, **DEFENCES[defence], **settings}.items():
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


@dataclass(frozen=True)
class _Recorded:
    """A round that was trained under a recorder."""

    evidence: Evidence
    checked: CheckedRun


def _recorded(config: RunConfig, wanted: Wanted, display: Display, *, rounds: int | None = None) -> _Recorded:
    """Train; keep the last round, of clients that took part to its end.

    Without ``rounds`` of its own, it is a run as its configuration says, and is judged.
    """
    checked = check_run(config)
    recorder = TranscriptRecorder(wanted.steps, wanted.clients, wanted.throughout)
    caught = Caught(checked.method, rounds)
    train_locally(
        checked,
        display=display,
        make_method=caught,
        make_timer=lambda *_: HostTimer(),
        judged=rounds is None,
        recorder=recorder,
    )
    transcripts = [each for each in recorder.transcripts.values() if each.upload is not None]
    if not transcripts:
        raise RuntimeError(
            f"{config.name}: all clients that were to be attacked have dropped out; take more with --clients"
        )
    assert caught.made is not None
    return _Recorded(Evidence(checked.config, caught.made, recorder.before, transcripts), checked)


def _audited(
    config: RunConfig, defence: str, recorded: _Recorded, wanted: Wanted, display: Display
) -> Audited:
    evidence, population = recorded.evidence, recorded.checked.population
    audits = _image_audits(recorded, wanted, display) if _on_images(recorded, wanted) else []
    method = type(evidence.method)
    found = Audited(
        config=config,
        defence=defence,
        round=evidence.transcripts[0].round,
        cuts=tuple(findings_by_cut(audits)),
        findings=tuple(attackable(method).tried(wanted.attacks, evidence, population, wanted.shadows)),
        megabytes=_megabytes(evidence),
    )
    _write(found, audits)
    return found


def _on_images(recorded: _Recorded, wanted: Wanted) -> bool:
    """Return whether somebody asks for attacks on activations of real images, and these cross."""
    return isinstance(recorded.evidence.method, HuSCF) and not set(wanted.attacks).isdisjoint(ON_IMAGES)


def _image_audits(recorded: _Recorded, wanted: Wanted, display: Display) -> list[ClientAudit]:
    evidence, audits = recorded.evidence, []
    attacks = [name for name in wanted.attacks if name in ON_IMAGES]
    for place, transcript in enumerate(evidence.transcripts, start=1):
        display.note(f"attacking client {transcript.client}, {place} of {len(evidence.transcripts)}")
        chosen = recorded_steps(evidence.steps(transcript.client))
        frames = {step: frame for step, frame in transcript.frames.items() if step in chosen}
        seen = replace(transcript, frames=frames)
        audits.append(audit_client(evidence.config, seen, recorded.checked.population, attacks))
    return audits


def _megabytes(evidence: Evidence) -> float | None:
    """Return what a client sends and receives in a step, the mean over those recorded, in 10^6 bytes."""
    found = [
        _step_megabytes(transcript, evidence.config)
        for transcript in evidence.transcripts
        if transcript.frames
    ]
    return fmean(found) if found else None


def _step_megabytes(transcript: Transcript, config: RunConfig) -> float:
    wire, exchanges = wire_type_of(config, transcript.round), method_of(config).crossing.exchanges
    ledger = Ledger()
    frames = next(iter(transcript.frames.values()))
    for exchange in exchanges:
        for direction in DIRECTIONS:
            if (exchange.name, direction) in frames:
                frame = frames[exchange.name, direction]
                ledger.record_frame(transcript.client, exchange, direction, frame, wire)
    return ledger.total() / 1e6


def _write(found: Audited, audits: Sequence[ClientAudit]) -> None:
    """Leave what was found in the run's folder: values, pictures, and the report anew."""
    folder = found.config.folder / PRIVACY
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for cut in found.cuts:
        first = next(audit for audit in audits if audit.cut == cut.cut)
        if cut.sees_images:
            _draw(folder / f"cut-{cut.name}.png", first)
    write_json(folder / f"{PRIVACY}.json", found.as_json())
    write_report(found.config.folder)


def _draw(path: Path, audit: ClientAudit) -> None:
    """Draw true images above what the best attack made of them, for each step."""
    steps = sorted({each.step for each in audit.attacked})
    best = [best_attack(audit, step) for step in steps]
    columns = min(PICTURED, *(len(each.truth) for each in best))
    rows = [images[:columns] for each in best for images in (each.truth, each.images)]
    captions = [caption for each in best for caption in (f"step {each.step}", each.attack)]
    sample_grid(path, torch.cat(rows), columns, captions)
