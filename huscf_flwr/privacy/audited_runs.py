"""Runs that are audited: a round of a run that is there, replayed; or a short training of a configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from huscf_flwr.config import RunConfig, load_config
from huscf_flwr.evaluation.figures import sample_grid
from huscf_flwr.evaluation.report import write_report
from huscf_flwr.evaluation.run_record import PRIVACY, read_run
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Orders
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.models import Cut, model_spec_of, with_local_discriminator
from huscf_flwr.privacy.audit import ClientAudit, audit_client, recorded_steps
from huscf_flwr.privacy.findings import CutFindings, best_attack, findings_by_cut, verdict
from huscf_flwr.privacy.guarantee import NONE, guarantee, sentence
from huscf_flwr.privacy.view import cut_name, cut_of
from huscf_flwr.run.check import CheckedRun, check_run, check_settings
from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.display import Display
from huscf_flwr.run.folder_lock import held
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.transcript import Transcript, TranscriptRecorder
from huscf_flwr.session import HostTimer, sent_bytes
from huscf_flwr.tensor_files import write_json

PICTURED = 10
"""Images of a client in a picture."""

AS_TRAINED = "as trained"
"""Stands for the defences of a run that is there."""

_UNDEFENDED: Mapping[str, Any] = {
    "fake_labels": "real",
    "compute.wire_dtype": None,
    "privacy.local_discriminator": False,
}
DEFENCES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "fake-labels": {"fake_labels": "uniform"},
    "bfloat16": {"compute.wire_dtype": "bfloat16"},
    "local-discriminator": {"privacy.local_discriminator": True, "fake_labels": "uniform"},
}
"""Settings by the name of a defence; none of them has a formal guarantee.

``fake-labels``: fakes have labels of their own, so exchange 1 does not tell those of the real batch.
``bfloat16``: activations cross with 8 bits of precision.
``local-discriminator``: clients keep all of it, so no activation of a real image crosses. Of a cut the
generator's two numbers count.
"""


@dataclass(frozen=True)
class Audited:
    """What was found of one run."""

    config: RunConfig
    defence: str
    round: int
    """That was recorded."""
    cuts: tuple[CutFindings, ...]
    """None of a run with a guarantee: it bounds all attacks, and one more round may not be left."""
    megabytes: float
    """That a client sends and receives in a step, the mean over those attacked."""

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
    def scores(self) -> dict[str, float]:
        """Means over the domains of what the run's products are worth, where they were judged."""
        found = read_run(self.config.folder).domains.values()
        means = {}
        for name in ("label_fidelity", "tstr_accuracy"):
            known = [scores[name] for scores in found if name in scores]
            if known:
                means[name] = fmean(known)
        return means

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "run": str(self.config.folder),
            "defence": self.defence,
            "round": self.round,
            "guarantee": None if self.guarantee == NONE else self.guarantee,
            "megabytes_a_step": self.megabytes,
            "scores": self.scores,
            "cuts": [found.as_json() for found in self.cuts],
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Wanted:
    """What is looked at in every run."""

    attacks: Collection[str]
    clients_of_a_cut: int
    """At most so many clients with the same cut are attacked."""

    def clients(self, orders: Orders) -> tuple[int, ...]:
        """Return the clients to attack: the first with each cut."""
        by_cut: dict[Cut, list[int]] = {}
        for client, order in orders.clients.items():
            by_cut.setdefault(cut_of(order), []).append(client)
        return tuple(sorted(k for same in by_cut.values() for k in same[: self.clients_of_a_cut]))


def audit_run(folder: Path, wanted: Wanted, display: Display) -> Audited:
    """Replay one more round of the run in ``folder`` from its last checkpoint; leave what was found in it.

    Raises ``ValueError`` if it has no checkpoint, or is of another method.
    """
    config = resolved(load_config(str(folder / "config.yaml")))
    _check_method(config)
    last = last_round(folder)
    if last is None:
        raise ValueError(f"{folder}: no checkpoint to go on from; train it with checkpoint.every above 0")
    if config.privacy.epsilon is not None:
        return Audited(
            config.model_copy(update={"output": folder.parent, "name": folder.name}),
            AS_TRAINED,
            last,
            (),
            0.0,
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
        transcripts, checked = _recorded(replayed, wanted, display, judged=False)
        return _audited(config, AS_TRAINED, transcripts, checked, wanted, display)


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
    _check_method(config)
    if rounds == 1 and config.settings(HuSCFSettings).initialisation == "per-client":
        raise ValueError(
            "huscf.initialisation: per-client, so before round 1 the server has sent no weights that it can "
            "invert; take --rounds 2"
        )
    planned = variants(config, rounds=rounds, cuts=cuts, defences=defences)
    for variant, _ in planned:
        check_settings(variant, method_of(variant))
    found = []
    for variant, defence in planned:
        display.note(f"training {variant.name}")
        transcripts, checked = _recorded(variant, wanted, display, judged=True)
        found.append(_audited(variant, defence, transcripts, checked, wanted, display))
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
    for key, value in {**_UNDEFENDED, **DEFENCES[defence]}.items():
        section, _, name = key.rpartition(".")
        (content[section] if section else content)[name] = value
    if cut is not None and content["privacy"]["local_discriminator"]:
        cut = with_local_discriminator(model_spec_of(config), cut)
    content["rounds"] = rounds
    content["output"] = config.output / f"{config.name}-privacy"
    content["name"] = defence if cut is None else f"{defence}-cut-{cut_name(cut)}"
    if cut is not None:
        content["cuts"] |= {"solver": "fixed", "fixed": tuple(cut), "dynamic": False}
    return resolved(RunConfig.model_validate(content))


def _check_method(config: RunConfig) -> None:
    if not issubclass(method_of(config), HuSCF):
        raise ValueError(
            f"method: {config.method}; attacks are there for huscf only. What other methods reveal is "
            "declared, and shown by huscf compare"
        )


def _recorded(
    config: RunConfig, wanted: Wanted, display: Display, *, judged: bool
) -> tuple[list[Transcript], CheckedRun]:
    """Train; return the transcripts of the last round, of clients that took part to its end."""
    checked = check_run(config)
    recorder = TranscriptRecorder(recorded_steps, wanted.clients)
    train_locally(
        checked,
        display=display,
        make_timer=lambda *_: HostTimer(),
        judged=judged,
        recorder=recorder,
    )
    return [each for each in recorder.transcripts.values() if each.upload is not None], checked


def _audited(
    config: RunConfig,
    defence: str,
    transcripts: Sequence[Transcript],
    checked: CheckedRun,
    wanted: Wanted,
    display: Display,
) -> Audited:
    if not transcripts:
        raise RuntimeError(
            f"{config.name}: all clients that were to be attacked have dropped out; take more with --clients"
        )
    audits = []
    for place, transcript in enumerate(transcripts, start=1):
        display.note(f"attacking client {transcript.client}, {place} of {len(transcripts)}")
        audits.append(audit_client(checked.config, transcript, checked.population, wanted.attacks))
    found = Audited(
        config=config,
        defence=defence,
        round=transcripts[0].round,
        cuts=tuple(findings_by_cut(audits)),
        megabytes=fmean(_megabytes(each, config) for each in transcripts),
    )
    _write(found, audits)
    return found


def _megabytes(transcript: Transcript, config: RunConfig) -> float:
    frames = next(iter(transcript.frames.values())).values()
    return sum(tensor.numel() for frame in frames for tensor in frame) * sent_bytes(config) / 1e6


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
