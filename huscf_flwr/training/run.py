"""A run from its first to its last round, whatever moves the frames.

Flower's strategy and the local engine both do the same with it: open a round, let the hosts train, close the
round with what they trained, and finish.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
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
from huscf_flwr.training.checkpoint import checkpoint_of, load_server, save_server
from huscf_flwr.training.coordinator import Coordinator, CutChange
from huscf_flwr.training.display import Display, round_line
from huscf_flwr.training.judging import Harness
from huscf_flwr.training.moments import KeptMoments
from huscf_flwr.training.run_folder import RunFolder, read_metrics
from huscf_flwr.training.run_log import RunLog
from huscf_flwr.training.tensorboard import TensorBoard, check_tensorboard

_LOGGER = logging.getLogger(__name__)
_PROGRESS_SECONDS = 0.5


class RoundFailedError(RuntimeError):
    """A round could not be finished; everything written before it is kept."""


class Run:
    """Coordinator, run folder, log, harness and display of one run."""

    def __init__(
        self,
        config: RunConfig,
        coordinator: Coordinator,
        folder: RunFolder,
        display: Display,
        harness: Harness | None,
        log: RunLog,
    ) -> None:
        """Start the clock; without a ``harness`` nothing that needs the domains is measured.

        Raises ``ValueError`` if the configuration wants what is not installed.
        """
        check_tensorboard(config)
        self.config = config
        self.coordinator = coordinator
        self.folder = folder
        self._display = display
        self._harness = harness
        self._log = log
        self._tensorboard: TensorBoard | None = None
        self._started = time.monotonic()
        self._seconds_before = 0.0
        self._shown = 0.0
        self._predicted_step_s = 0.0
        self._attempt = 1
        self._client_scores: dict[int, dict[str, float]] = {}

    def begin(self, solution: Solution, devices: Mapping[int, Device], virtual: Collection[int]) -> None:
        """Make the run's folder, and go on from the checkpoint of ``resume`` if it is configured.

        What the ``virtual`` clients keep for themselves must lie beside the checkpoint, and is taken over.
        """
        coordinator, checkpoint = self.coordinator, checkpoint_of(self.config)
        if checkpoint is not None:
            checkpoint.check_moments(virtual)
            load_server(coordinator, checkpoint)
            if coordinator.reselection is not None:
                solution = coordinator.reselection.solution_of(coordinator.cuts)
        self._predicted_step_s = solution.latency_s
        self.folder.begin(checkpoint)
        self._log.write_to(self.folder.path)
        self.folder.write_cuts(solution, devices)
        if checkpoint is not None:
            self.folder.write_models(coordinator)
            self._seconds_before = sum(line["seconds"] for line in read_metrics(self.folder.path))
            self._note(f"resumed {checkpoint.run_folder} after round {coordinator.round}")
        if self.config.tensorboard:
            self._tensorboard = TensorBoard(self.folder.path)
        _LOGGER.info(
            "begins: mode %s, seed %s, %s clients",
            self.config.mode,
            self.config.seed,
            len(coordinator.samples),
        )

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
        self._note(
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
        self._log.round = self.coordinator.round + 1
        return self.coordinator.open_round(hosts, self._progress, patience, self._note_drop_out)

    def close_round(
        self,
        client_blocks: Mapping[int, BlockStates],
        losses: Mapping[int, StepLosses],
        times: Mapping[int, ClientTimes] | None = None,
        kept: Mapping[int, KeptMoments] | None = None,
    ) -> dict[str, Any]:
        """Cluster, average, judge, choose cuts anew, and write down; return the round's metrics.

        Clients without blocks have dropped out. ``times`` are the clients' own measurements, ``kept`` is what
        they keep for themselves.
        """
        self._attempt = 1
        parted_before = self.coordinator.executor.parted
        finished = self.coordinator.close_round(client_blocks, losses, times, kept)
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
        _LOGGER.info("%s", round_line(metrics, self.config.rounds))
        if self._tensorboard is not None:
            self._tensorboard.round(metrics)
        if self.coordinator.executor.parted and not parted_before:
            self._note(
                f"two rounds in a row have found the same {len(self.coordinator.executor.bodies)} clusters: "
                "from now on each has bodies of its own, and its clients stay"
            )
        if change is not None:
            self._display.note(_describe(*change))
            _log_cuts(change[1])
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
        """Judge thoroughly, write summary and report, show the table; return the summary.

        Its seconds are those of this process and of the rounds that it took over.
        """
        scores = ari = None
        if self._harness is not None:
            ari = self._harness.adjusted_rand_index(self.coordinator)
            scores = self._harness.judge(self.coordinator, thoroughly=True)
        seconds = self._seconds_before + time.monotonic() - self._started
        summary = self.folder.write_summary(self.coordinator, seconds, ari, scores, self._client_scores)
        self._display.end(summary)
        if self._tensorboard is not None:
            self._tensorboard.end(summary)
        _LOGGER.info("finished after %.1f s", seconds)
        return summary

    def _note_drop_out(self, client: int, dropped: DroppedClient) -> None:
        text = (
            f"client {client} dropped out of round {self.coordinator.round} in step {dropped.step}, "
            f"{dropped.exchange.name}: {dropped.reason}"
        )
        self._display.note(text)
        _LOGGER.warning("%s", text, extra={"client": client})

    def _note(self, text: str) -> None:
        self._display.note(text)
        _LOGGER.info("%s", text)

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


def _log_cuts(changes: Mapping[int, CutChange]) -> None:
    for client, change in changes.items():
        _LOGGER.info(
            "cut %s becomes %s", _words(change.before), _words(change.after), extra={"client": client}
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
