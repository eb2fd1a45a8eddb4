"""A run that Flower has been given, followed until it is over.

What it does is read from its folder; whether it is over, and how, Flower is asked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.flower.superlink import FlowerRunError, PrivateSuperLink
from huscf_flwr.flower.told_lines import ToldLines
from huscf_flwr.methods import method_of
from huscf_flwr.run.awaited import AwaitedRun
from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.display import Display
from huscf_flwr.run.interruption import StopRequest
from huscf_flwr.run.run_folder import last_evaluation, read_progress
from huscf_flwr.run.run_log import log_length, new_warnings

_POLL_SECONDS = 0.5
_STATUS_SECONDS = 8.0
_STATUS_TRIES = 3


class WatchedFolder:
    """Shows what a run writes into its folder from now on, as it comes."""

    def __init__(self, config: RunConfig, display: Display) -> None:
        self._config = config
        self._display = display
        self._total = method_of(config).rounds(config)
        self._run = AwaitedRun(config.folder)
        self._told = ToldLines(config)
        self._log_position = log_length(config.folder)
        self._rounds, self._evaluated = 0, (0, False)
        if config.resume is not None:
            self._rounds = config.resume_round or last_round(config.resume) or 0
            self._evaluated = min((self._rounds, True), _progress_of(last_evaluation(config.resume)))
            display.note(f"goes on from {config.resume} after round {self._rounds}")

    @property
    def has_begun(self) -> bool:
        """Whether the run has written into its folder."""
        return self._run.has_begun

    @property
    def has_ended(self) -> bool:
        """Whether the run has written all that it writes but for its report."""
        return self._run.has_ended

    def note(self, text: str) -> None:
        """Show a line."""
        self._display.note(text)

    def show(self) -> None:
        """Show lines, warnings, rounds and evaluations that are new, and how far the round under way is."""
        for line in self._told.new():
            self._display.note(line)
        if not self.has_begun:
            return
        folder = self._config.folder
        warnings, self._log_position = new_warnings(folder, self._log_position)
        for warning in warnings:
            self._display.note(warning)
        record = read_run(folder)
        rounds = {line["round"]: line for line in record.rounds}
        evaluations = {line["round"]: line for line in record.evaluations}
        for number in sorted({*rounds, *evaluations}):
            if number in rounds and number > self._rounds:
                self._display.round(rounds[number], self._total)
                self._rounds = number
            if number in evaluations and _progress_of(evaluations[number]) > self._evaluated:
                self._display.evaluation(evaluations[number])
                self._evaluated = _progress_of(evaluations[number])
        progress = read_progress(folder)
        if progress and progress["round"] > self._rounds:
            self._display.step(progress["round"], progress["step"], progress["steps"])


def _progress_of(evaluation: Mapping[str, Any]) -> tuple[int, bool]:
    """Return what increases from one evaluation to the next: after the last round there may be two."""
    return evaluation.get("round", 0), bool(evaluation.get("thorough"))


def watch(superlink: PrivateSuperLink, run_id: str, watched: WatchedFolder, stop: StopRequest) -> str:
    """Show what the run does until Flower says that it is over; return Flower's words.

    Lets Flower stop it once ``stop`` is asked for; if all but its report is done by then, says so instead.
    Raises ``FlowerRunError`` if Flower does not answer.
    """
    question = _StatusQuestion(superlink, run_id)
    is_asked = False
    while True:
        time.sleep(_POLL_SECONDS)
        ended = False
        if stop.cause is not None and not is_asked:
            is_asked = True
            # What has written its summary writes its report, and ends by itself.
            if watched.has_ended:
                watched.note("all is trained and judged; waiting for the report")
            else:
                superlink.stop(run_id)
                ended = True
        watched.show()
        if ended or watched.has_ended or question.is_due:
            status = question.ask()
            if status.startswith("finished"):
                watched.show()
                return status


class _StatusQuestion:
    """How a run is, asked now and then: it starts a process, which costs a second of a core that trains."""

    def __init__(self, superlink: PrivateSuperLink, run_id: str) -> None:
        self._superlink = superlink
        self._run_id = run_id
        self._asked = time.monotonic()
        self._failures = 0

    @property
    def is_due(self) -> bool:
        """Whether the last answer is old."""
        return time.monotonic() - self._asked > _STATUS_SECONDS

    def ask(self) -> str:
        """Return Flower's words; raises ``FlowerRunError`` if it fails to answer several times in a row."""
        self._asked = time.monotonic()
        try:
            status = self._superlink.status(self._run_id)
        except FlowerRunError:
            self._failures += 1
            if self._failures == _STATUS_TRIES:
                raise
            return "unknown"
        self._failures = 0
        return status
