"""Runs that are audited: a round of a run that is there, replayed; or a short training of a configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from huscf_flwr.config import RunConfig, load_config
from huscf_flwr.existing import check_folder
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Orders
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.models import Cut, check_cut, model_spec_of
from huscf_flwr.privacy.audit import ClientAudit, audit_client, recorded_steps
from huscf_flwr.privacy.audited import Audited, DroppedOut
from huscf_flwr.privacy.black_box import FIRST_STEPS
from huscf_flwr.privacy.ceilings import Ceilings
from huscf_flwr.privacy.defences import AS_CONFIGURED, variants
from huscf_flwr.privacy.embedding_mix import ATTACKED_STEPS
from huscf_flwr.privacy.evidence import Caught, Evidence
from huscf_flwr.privacy.finding import Finding
from huscf_flwr.privacy.findings import findings_by_cut
from huscf_flwr.privacy.registry import (
    MEMBERSHIP,
    OF_OTHERS,
    ON_IMAGES,
    ON_LABELS,
    Attackable,
    attackable,
)
from huscf_flwr.privacy.server import SHOWS_LABELS
from huscf_flwr.privacy.step_costs import megabytes_a_step, seconds_a_step
from huscf_flwr.privacy.view import cut_name, cut_or_none
from huscf_flwr.run.check import CheckedRun, check_place, check_run, check_settings
from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.display import Display, RoundOnly
from huscf_flwr.run.folder_lock import held
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.origin import images_hash, origin_of
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.run.transcript import Transcript, TranscriptRecorder
from huscf_flwr.session import Direction, HostTimer

AS_TRAINED = "as trained"
"""Stands for the defences of a run that is there."""
_SECRET = (
    "secret noise bounds what is told of one image; in a simulation with privacy.noise=seeded, --attacks A6 "
    "tries it"
)
"""Why membership is not attacked where it could be."""


@dataclass(frozen=True)
class Wanted:
    """What is looked at in every run."""

    attacks: Collection[str]
    clients_of_a_cut: int
    """At most so many clients with the same cut are attacked; of all clients, where there are no cuts."""
    shadows: int = 4
    """Shadow models that an attack may train."""
    command: str = ""
    """By which this was asked for."""
    ceilings: Ceilings = field(default_factory=lambda: Ceilings({}))
    """That must hold."""

    def steps(self, count: int) -> tuple[int, ...]:
        """Return which steps of a round with ``count`` are kept."""
        first = ATTACKED_STEPS if ON_LABELS in self.attacks else 0
        if "A5" in self.attacks:
            first = FIRST_STEPS
        return tuple(sorted({*recorded_steps(count), *range(1, min(first, count) + 1)}))

    @property
    def throughout(self) -> tuple[tuple[str, Direction], ...]:
        """What is kept of every step of a round."""
        return (SHOWS_LABELS,) if ON_LABELS in self.attacks else ()

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
    attacked = attackable(method_of(config))
    last = last_round(folder)
    if last is None:
        raise ValueError(f"{folder}: no checkpoint to go on from; train it for at least one round first")
    check_folder(folder, "the run's folder", "copy it to where you may write")
    here = config.model_copy(update={"output": folder.parent, "name": folder.name})
    if not _may_attack(config, attacked, wanted):
        with held(folder):
            untried = attacked.untried(wanted.attacks, _SECRET)
            found = Audited(here, AS_TRAINED, last, (), tuple(untried), None, command=wanted.command)
            return _written(found, wanted, display)
    if config.privacy.epsilon is not None and config.privacy.critic == "discriminator":
        raise ValueError(
            f"{folder}: its clients have spent privacy.epsilon, so that they would leave in one more round; "
            "give huscf privacy the configuration instead, which is attacked as it trains"
        )
    with held(folder), tempfile.TemporaryDirectory(prefix="huscf-privacy-") as scratch:
        replayed = config.model_copy(
            update={
                "output": Path(scratch),
                "resume": folder,
                "resume_round": None,
                "rounds": last + 1,
            }
        )
        display.note(f"training round {last + 1} to look at it; the run itself stays at round {last}")
        recorded = _recorded(replayed, wanted, RoundOnly(display), rounds=last + 1)
        return _audited(here, AS_TRAINED, recorded, wanted, display)


def _may_attack(config: RunConfig, attacked: Attackable, wanted: Wanted) -> bool:
    """Return whether a run is attacked: one with a guarantee only by what says more than the guarantee."""
    if config.privacy.epsilon is None:
        return True
    return not attacked.attacks.keys().isdisjoint(set(wanted.attacks) - _bounded(config))


def _bounded(config: RunConfig) -> set[str]:
    """Return the attacks that need not be made, by name: an epsilon with secret noise says what they find.

    It is of one image, and says nothing of how often a client has each label.
    """
    return {MEMBERSHIP} if config.privacy.bounds_each_image else set()


def _findings(recorded: _Recorded, wanted: Wanted) -> Iterator[Finding]:
    """Yield what attacks beside those on images have found, with a reason for each that is not made."""
    evidence, bounded = recorded.evidence, _bounded(recorded.evidence.config)
    attacked = attackable(type(evidence.method))
    for name in wanted.attacks:
        if name in bounded:
            yield from attacked.untried([name], _SECRET)
        else:
            yield from attacked.tried([name], evidence, recorded.checked.population, wanted.shadows)


def _written(found: Audited, wanted: Wanted, display: Display, audits: Sequence[ClientAudit] = ()) -> Audited:
    """Leave what was found in the run's folder, with which ceilings hold; say where earlier ones are."""
    held_to = replace(found, ceilings=wanted.ceilings.outcomes(found))
    aside = held_to.write(audits)
    if aside is not None:
        display.note(f"what an earlier audit has found is now in {aside}")
    return held_to


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

    Without ``cuts``, clients have those of the configuration, and its own defences are called
    ``AS_CONFIGURED``. Each is a run in a folder of its own, and is
    judged, so that it is seen what a defence costs.
    """
    method = method_of(config)
    if not _may_attack(config, attackable(method), wanted):
        raise ValueError(
            f"privacy.epsilon is {config.privacy.epsilon}, and of --attacks {','.join(wanted.attacks)} none "
            "is made beside it: train it with huscf run, and huscf privacy RUN says what is guaranteed; or "
            "take --attacks A6 with privacy.noise=seeded, a simulation, or with privacy.critic=embedding "
            "--attacks A3"
        )
    if config.privacy.epsilon is not None and tuple(defences) != (AS_CONFIGURED,):
        raise ValueError(
            f"--defences: {', '.join(defences)}; privacy.epsilon is the defence, and goes with no other; "
            "leave it out"
        )
    if cuts and not issubclass(method, HuSCF):
        raise ValueError(f"--cuts: {config.method} cuts no network; leave it out")
    _check_cuts(config, cuts)
    per_client = config.settings(HuSCFSettings).initialisation == "per-client"
    if rounds == 1 and per_client and issubclass(method, HuSCF):
        raise ValueError(
            "huscf.initialisation: per-client, so before round 1 the server has sent no weights that it can "
            "invert; take --rounds 2"
        )
    planned = variants(config, rounds=rounds, cuts=cuts, defences=defences)
    for variant in planned:
        check_place(variant.config)
        check_settings(variant.config, method_of(variant.config))
    found = []
    for variant in planned:
        display.note(f"training {variant.config.name}")
        recorded = _recorded(variant.config, wanted, display)
        audited = _audited(variant.config, variant.defence, recorded, wanted, display, variant.replaced)
        found.append(audited)
    return found


def _check_cuts(config: RunConfig, cuts: Sequence[Cut]) -> None:
    """Raise ``ValueError`` for a cut that the model does not allow, written as it is given."""
    spec = model_spec_of(config)
    for cut in cuts:
        try:
            check_cut(spec, cut)
        except ValueError as error:
            said = str(error).removeprefix(f"cut {tuple(cut)}: ")
            raise ValueError(f"--cuts: {cut_name(cut)}: {said}") from error


@dataclass(frozen=True)
class _Recorded:
    """A round that was trained under a recorder."""

    evidence: Evidence
    checked: CheckedRun
    dropped_out: tuple[DroppedOut, ...]


def _recorded(config: RunConfig, wanted: Wanted, display: Display, *, rounds: int | None = None) -> _Recorded:
    """Train; keep the last round, of clients that took part to its end.

    Without ``rounds`` of its own, it is a run as its configuration says, and is judged.
    """
    checked = check_run(config)
    recorder = TranscriptRecorder(
        wanted.steps, wanted.clients, wanted.throughout, keep_uploads=OF_OTHERS in wanted.attacks
    )
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
    lost = [each for each in recorder.transcripts.values() if each.upload is None]
    lines = {line["round"]: line for line in read_metrics(checked.config.folder)}
    line = lines.get(transcripts[0].round, {})
    evidence = Evidence(
        *(checked.config, caught.made, recorder.before, transcripts),
        uploads=recorder.uploads,
        weights={each["id"]: each["weight"] for each in line.get("clients", ()) if "weight" in each},
    )
    return _Recorded(evidence, checked, tuple(_dropped_out(line, lost)))


def _dropped_out(line: Mapping[str, Any], lost: Sequence[Transcript]) -> Iterator[DroppedOut]:
    """Yield those of ``lost`` transcripts, with the reason that the run has in its ``line`` of the round."""
    told = {each["id"]: each["reason"] for each in line.get("drop_outs", ())}
    for transcript in lost:
        cut = cut_or_none(transcript.order)
        why = told.get(transcript.client, "what it sent could not be used")
        yield DroppedOut(transcript.client, "" if cut is None else cut_name(cut), why)


def _audited(
    config: RunConfig,
    defence: str,
    recorded: _Recorded,
    wanted: Wanted,
    display: Display,
    replaced: tuple[str, ...] = (),
) -> Audited:
    evidence, population = recorded.evidence, recorded.checked.population
    audits = _image_audits(recorded, wanted, display) if _on_images(recorded, wanted) else []
    found = Audited(
        config=config,
        defence=defence,
        round=evidence.transcripts[0].round,
        cuts=tuple(findings_by_cut(audits)),
        findings=tuple(_findings(recorded, wanted)),
        megabytes=megabytes_a_step(evidence),
        seconds=seconds_a_step(evidence),
        origin=origin_of(evidence.config, recorded.checked.images or images_hash(population)),
        command=wanted.command,
        dropped_out=recorded.dropped_out,
        replaced=replaced,
    )
    return _written(found, wanted, display, audits)


def _on_images(recorded: _Recorded, wanted: Wanted) -> bool:
    """Return whether somebody asks for attacks on a batch of a client that is cut: its images, or labels."""
    evidence = recorded.evidence
    if evidence.config.privacy.epsilon is not None:
        return False
    return isinstance(evidence.method, HuSCF) and not set(wanted.attacks).isdisjoint((*ON_IMAGES, ON_LABELS))


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
