"""A run from its first to its last round, whatever moves the frames.

Flower's strategy and the local engine both do the same with it: open a round, let the hosts train, close the
round with what they trained, and finish.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import Device, Reselection, Solution
from huscf_flwr.models import BlockStates, Cut
from huscf_flwr.split import (
    ClientTimes,
    Deadlines,
    DroppedClient,
    LockStep,
    Patience,
    StepLosses,
    TooFewClientsError,
)
from huscf_flwr.training.checkpoint import load_server, save_server
from huscf_flwr.training.coordinator import Coordinator, CutChange
from huscf_flwr.training.display import Display
from huscf_flwr.training.judging import Harness
from huscf_flwr.training.run_folder import RunFolder

_PROGRESS_SECONDS = 0.5


class RoundFailedError(RuntimeError):
    """A round could not be finished; everything written before it is kept."""


class Run:
    """Coordinator, run folder, harness and display of one run."""

    def __init__(
        self,
        config: RunConfig,
        coordinator: Coordinator,
        folder: RunFolder,
        display: Display,
        harness: Harness | None,
    ) -> None:
        """Start the clock; without a ``harness`` nothing that needs the domains is measured."""
        self.config = config
        self.coordinator = coordinator
        self.folder = folder
        self._display = display
        self._harness = harness
        self._started = time.monotonic()
        self._shown = 0.0
        self._predicted_step_s = 0.0
        self._attempt = 1
        self._client_scores: dict[int, dict[str, float]] = {}

    def begin(self, solution: Solution, devices: Mapping[int, Device]) -> None:
        """Make the run's folder, and go on from the checkpoint of ``resume`` if it is configured."""
        folder = self.config.resume
        if folder is not None:
            load_server(self.coordinator, folder)
            if self.coordinator.reselection is not None:
                solution = self.coordinator.reselection.solution_of(self.coordinator.cuts)
        self._predicted_step_s = solution.latency_s
        self.folder.begin(folder, self.coordinator.round)
        self.folder.write_cuts(solution, devices)
        if folder is not None:
            self._display.note(f"resumed {folder} after round {self.coordinator.round}")

    def fail(self, session: LockStep, why: BaseException | str | None = None) -> NoReturn:
        """Give the round up because of ``why``, or of what ended its session first.

        Raises ``RoundFailedError`` naming the round.
        """
        raise RoundFailedError(
            f"round {self.coordinator.round}: {session.failure or why}"
        ) from session.failure

    def give_up_round(self, session: LockStep, why: str) -> None:
        """Take the round back, to be tried again.

        Raises ``RoundFailedError`` if it has been tried as often as the configuration allows, or ended for a
        reason that another attempt would not change.
        """
        if self._attempt == self.config.attempts or not isinstance(
            session.failure, TooFewClientsError | None
        ):
            self.fail(session, why)
        self._display.note(
            f"round {self.coordinator.round}, attempt {self._attempt} of {self.config.attempts} is given up: "
            f"{session.failure or why}"
        )
        self.coordinator.give_up_round()
        self._attempt += 1

    @property
    def attempt(self) -> int:
        """Number of the attempt at the current round, from one."""
        return self._attempt

    def deadlines(self) -> Deadlines:
        """Return how long hosts that may be gone are waited for."""
        section = self.config.executor
        return Deadlines(
            section.timeout, section.least_deadline, section.deadline_factor, self._predicted_step_s
        )

    @property
    def rounds_left(self) -> int:
        """Rounds still to do."""
        return max(0, self.config.rounds - self.coordinator.round)

    def open_round(self, hosts: Sequence[Sequence[int]], patience: Patience = lambda _: math.inf) -> LockStep:
        """Begin the next round; ``hosts`` lists the client ids of each host, ``patience`` bounds them."""
        return self.coordinator.open_round(hosts, self._progress, patience, self._note_drop_out)

    def close_round(
        self,
        client_blocks: Mapping[int, BlockStates],
        losses: Mapping[int, StepLosses],
        times: Mapping[int, ClientTimes] | None = None,
    ) -> dict[str, Any]:
        """Cluster, average, judge, choose cuts anew, and write down; return the round's metrics.

        Clients without blocks have dropped out.
        """
        self._attempt = 1
        finished = self.coordinator.close_round(client_blocks, losses, times)
        scores = ari = None
        if self._harness is not None:
            ari = self._harness.adjusted_rand_index(self.coordinator)
            every = self.config.evaluation.every
            if every and finished.number % every == 0:
                scores = self._harness.judge(self.coordinator, thoroughly=False)
        change = self.coordinator.reselect_cuts(finished)
        metrics = self.folder.write_round(finished, ari, scores, change)
        self.folder.write_models(self.coordinator)
        if change is not None and self.coordinator.reselection is not None:
            self.folder.write_cuts(change[0].solution, self.coordinator.reselection.beliefs.devices)
        save_server(self.coordinator, self.folder.path)
        self._display.round(metrics, self.config.rounds)
        if change is not None:
            self._display.note(_describe(*change))
        return metrics

    def record_client_scores(
        self, scores: Mapping[int, tuple[int, Mapping[str, float]]]
    ) -> dict[int, dict[str, float]]:
        """Average scores that clients gave their cluster's generator, weighted by their test samples.

        ``scores`` are by client: number of test samples, and value by name. Returns the averages by cluster.
        """
        members: dict[int, list[tuple[int, Mapping[str, float]]]] = {}
        for client, judged in sorted(scores.items()):
            members.setdefault(self.coordinator.clusters[client], []).append(judged)
        self._client_scores = {cluster: _weighted_means(judged) for cluster, judged in members.items()}
        return self._client_scores

    def finish(self) -> dict[str, Any]:
        """Judge thoroughly, write summary and report, show the table; return the summary."""
        scores = ari = None
        if self._harness is not None:
            ari = self._harness.adjusted_rand_index(self.coordinator)
            scores = self._harness.judge(self.coordinator, thoroughly=True)
        seconds = time.monotonic() - self._started
        summary = self.folder.write_summary(self.coordinator, seconds, ari, scores, self._client_scores)
        self._display.end(summary)
        return summary

    def _note_drop_out(self, client: int, dropped: DroppedClient) -> None:
        self._display.note(
            f"client {client} dropped out of round {self.coordinator.round} in step {dropped.step}, "
            f"{dropped.exchange.name}: {dropped.reason}"
        )

    def _progress(self, step: int) -> None:
        now = time.monotonic()
        if step < self.coordinator.steps and now - self._shown < _PROGRESS_SECONDS:
            return
        self._shown = now
        self._display.step(self.coordinator.round, step, self.coordinator.steps)
        self.folder.write_progress(self.coordinator.round, step, self.coordinator.steps)


def _describe(reselection: Reselection, changes: Mapping[int, CutChange]) -> str:
    moves = "; ".join(
        f"client {client} from {_words(change.before)} to {_words(change.after)} "
        f"(generated images change by {change.output_change:.4f})"
        for client, change in changes.items()
    )
    return (
        f"new cuts: {moves}; predicted step {reselection.before_s:.4g} s before, "
        f"{reselection.solution.latency_s:.4g} s from now on"
    )


def _words(cut: Cut) -> str:
    return " ".join(map(str, cut))


def _weighted_means(judged: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    names = sorted({name for _, scores in judged for name in scores})
    means = {}
    for name in names:
        known = [(weight, scores[name]) for weight, scores in judged if name in scores]
        means[name] = sum(weight * score for weight, score in known) / sum(weight for weight, _ in known)
    return means
