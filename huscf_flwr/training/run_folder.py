"""What a run leaves behind: one folder, written as it goes, so that a run that dies keeps its past."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch

from huscf_flwr.atomic_file import append_durably, write_atomically
from huscf_flwr.config import RunConfig, dump_config
from huscf_flwr.cuts import Device, Reselection, Solution
from huscf_flwr.evaluation import draw_images
from huscf_flwr.evaluation.figures import sample_grid
from huscf_flwr.evaluation.report import write_report
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.process import device_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.training.checkpoint import Checkpoint
from huscf_flwr.training.coordinator import Coordinator, CutChange, FinishedRound
from huscf_flwr.training.files import flatten_blocks, write_json, write_tensors
from huscf_flwr.training.generators import sampler_of
from huscf_flwr.training.participant import dtype_of

WARM_UP_STEPS = 3
"""First steps of a round in which hosts come one after the other and memory is taken."""

Scores = Mapping[str, Mapping[str, float | int | None]]
"""Scores by domain."""


class RunFolder:
    """Writes configuration, cuts, metrics, pictures, generators, summary and report of one run."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self.path = config.folder

    def begin(self, resumed: Checkpoint | None = None) -> None:
        """Make the folder; one of an earlier run with this name is moved aside, not lost.

        A run that goes on from a checkpoint takes it over, with the metrics and pictures of all rounds until
        then. If it goes on in its own folder, nothing is left there of later rounds.
        """
        goes_on = resumed is not None and resumed.run_folder.resolve() == self.path.resolve()
        if not goes_on and self.path.exists() and any(self.path.iterdir()):
            ended = time.strftime("%Y%m%d-%H%M%S", time.localtime(self.path.stat().st_mtime))
            self.path.rename(
                self.path.with_name(f"{self.path.name}-{ended}-{time.monotonic_ns() % 10**6:06}")
            )
        self.path.mkdir(parents=True, exist_ok=True)
        if resumed is not None:
            self._take_over(resumed)
        self._write("config.yaml", dump_config(self._config))

    def write_cuts(self, solution: Solution, devices: Mapping[int, Device]) -> None:
        """Write who has which device and cut, and the latency that the model predicts for a step."""
        clients = [
            {"id": client, "device": device.name, "cut": list(cut)}
            for (client, device), cut in zip(sorted(devices.items()), solution.cuts, strict=True)
        ]
        content = {"solver": solution.solver, "latency_s": solution.latency_s, "gap": solution.gap}
        write_json(self.path / "cuts.json", {**content, "clients": clients})

    def write_progress(self, number: int, step: int, steps: int) -> None:
        """Write how far the current round is, for whoever watches the folder."""
        content = {"round": number, "step": step, "steps": steps}
        with suppress(OSError):  # a full disk must not end the training that it only watches
            write_atomically(self.path / "progress.json", json.dumps(content).encode(), durable=False)

    def write_round(
        self,
        finished: FinishedRound,
        ari: float | None,
        scores: Scores | None,
        change: tuple[Reselection, Mapping[int, CutChange]] | None = None,
    ) -> dict[str, Any]:
        """Append one line to ``metrics.jsonl`` and return it; ``change`` is of the next round's cuts."""
        line = {**_metrics(finished, ari, scores), **({"new_cuts": _new_cuts(*change)} if change else {})}
        append_durably(self.path / "metrics.jsonl", json.dumps(line) + "\n")
        return line

    def write_models(self, coordinator: Coordinator) -> None:
        """Write each cluster's generator, and a grid of its images."""
        spec = coordinator.spec
        labels = torch.arange(spec.classes).repeat_interleave(self._config.evaluation.sample_columns)
        clusters = sorted(set(coordinator.clusters.values()))
        for cluster in clusters:
            states = coordinator.generator_states(cluster)
            write_tensors(self.path / "generators" / f"{cluster}.safetensors", flatten_blocks(states))
            # One stream for all rounds: the same latent vectors show what the round changed.
            stream = torch_stream(self._config.seed, "sample grid", cluster)
            sampler = sampler_of(spec, states, dtype_of(self._config), device_of(self._config.compute))
            sample_grid(
                self.path / "samples" / f"round-{coordinator.round:03}-cluster-{cluster}.png",
                draw_images(sampler, labels, stream),
                self._config.evaluation.sample_columns,
                [str(label) for label in range(spec.classes)],
            )
        for path in (self.path / "generators").glob("*.safetensors"):
            if path.stem not in map(str, clusters):
                path.unlink()

    def write_summary(
        self,
        coordinator: Coordinator,
        seconds: float,
        ari: float | None,
        scores: Scores | None,
        client_scores: Mapping[int, Mapping[str, float]],
    ) -> dict[str, Any]:
        """Write ``summary.json`` and ``report.html``; return the summary."""
        members: dict[str, list[int]] = {}
        for client, cluster in sorted(coordinator.clusters.items()):
            members.setdefault(str(cluster), []).append(client)
        summary = {
            "name": self._config.name,
            "mode": self._config.mode,
            "seed": self._config.seed,
            "rounds": coordinator.round,
            "seconds": round(seconds, 1),
            "bytes": self._traffic(),
            "clusters": {
                "count": len(members),
                "ari": ari,
                "members": members,
                "client_scores": {str(cluster): dict(own) for cluster, own in client_scores.items()} or None,
            },
            "domains": scores,
        }
        write_json(self.path / "summary.json", summary)
        (self.path / "progress.json").unlink(missing_ok=True)
        write_report(self.path)
        return summary

    def _take_over(self, resumed: Checkpoint) -> None:
        number = resumed.state.round
        # The checkpoint comes first: wherever this is cut short, there are as many metrics as it needs.
        resumed.take_over(self.path, keep_last=self._config.checkpoint.keep_last)
        record = read_run(resumed.run_folder)
        lines = [json.dumps(line) + "\n" for line in record.rounds if line["round"] <= number]
        self._write("metrics.jsonl", "".join(lines))
        for name in ("summary.json", "progress.json"):
            (self.path / name).unlink(missing_ok=True)
        (self.path / "samples").mkdir(exist_ok=True)
        for grid in record.samples:
            own = self.path / "samples" / grid.path.name
            if grid.round > number:
                own.unlink(missing_ok=True)
            elif not own.exists():
                shutil.copy2(grid.path, own)

    def _traffic(self) -> dict[str, int]:
        lines = read_metrics(self.path)
        return {way: sum(line["bytes"][way] for line in lines) for way in ("up", "down")}

    def _write(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text.encode())


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl`` so far, without one that is half written."""
    return [dict(line) for line in read_run(folder).rounds] if folder.is_dir() else []


def read_progress(folder: Path) -> dict[str, int] | None:
    """Return round, step and steps of a run that is under way."""
    path = folder / "progress.json"
    try:
        progress: dict[str, int] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return progress


def read_summary(folder: Path) -> dict[str, Any]:
    """Return ``summary.json``."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    return summary


def _metrics(finished: FinishedRound, ari: float | None, scores: Scores | None) -> dict[str, Any]:
    result, ledger = finished.result, finished.ledger
    clients = sorted(finished.losses)
    losses = {
        network: {client: getattr(finished.losses[client], network) for client in clients}
        for network in ("discriminator", "generator")
    }
    return {
        "round": finished.number,
        "seconds": round(finished.seconds, 3),
        "steps": finished.steps,
        "step_seconds": _step_seconds(finished.step_seconds),
        "server_step_seconds": finished.server_s,
        "hosts": finished.hosts,
        "losses": {network: sum(values.values()) / len(values) for network, values in losses.items()},
        "clusters": [result.clusters[client] for client in clients],
        "silhouette": result.silhouette,
        "bodies": len(result.bodies),
        "ari": ari,
        "weights": [result.cluster_weights[client] for client in clients],
        "global_weights": [result.global_weights[client] for client in clients],
        "divergences": [result.divergences[client] for client in clients],
        "bytes": {
            "up": ledger.total(direction="up"),
            "down": ledger.total(direction="down"),
            "kinds": dict(ledger.by_kind()),
        },
        "clients": [
            {
                "id": client,
                "cluster": result.clusters[client],
                "samples": finished.samples[client],
                "cut": list(finished.cuts[client]),
                "losses": {network: values[client] for network, values in losses.items()},
                **({"step_seconds": asdict(finished.times[client])} if client in finished.times else {}),
            }
            for client in clients
        ],
        "drop_outs": [
            {"id": client, "step": of.step, "exchange": of.exchange.name, "reason": of.reason}
            for client, of in sorted(finished.drop_outs.items())
        ],
        **({"domains": scores} if scores is not None else {}),
    }


def _step_seconds(seconds: Sequence[float]) -> dict[str, Any]:
    """Return what the steps of a round took, and those after the first ones, if it is that long."""
    later = seconds[WARM_UP_STEPS:]
    return {**_spread(seconds), **({"after_warm_up": _spread(later)} if later else {})}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "least": min(values), "most": max(values)}


def _new_cuts(reselection: Reselection, changes: Mapping[int, CutChange]) -> dict[str, Any]:
    return {
        "step_seconds_before": reselection.before_s,
        "step_seconds_predicted": reselection.solution.latency_s,
        "moving_seconds": reselection.cost_s,
        "clients": [
            {
                "id": client,
                "before": list(change.before),
                "after": list(change.after),
                "output_change": change.output_change,
            }
            for client, change in changes.items()
        ],
    }
