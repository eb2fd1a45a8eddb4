"""A run from its first to its last round, whatever the method, and whatever moves its messages.

Flower's strategy and the local engine both do the same with it: open a round, let the hosts train, close the
round with what came back, and finish.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import PresetChoice
from huscf_flwr.evaluation.domain_scores import Judged
from huscf_flwr.evaluation.judging import Judging
from huscf_flwr.evaluation.own_models import OwnScores
from huscf_flwr.methods.contract import Client, Method, Upload, keeps_models
from huscf_flwr.run.check import check_emulation
from huscf_flwr.run.checkpoint import Checkpoint
from huscf_flwr.run.display import Display
from huscf_flwr.run.host import EvaluationOrder
from huscf_flwr.run.metrics_line import evaluation_of, line_of, summary_of
from huscf_flwr.run.mistakes import told
from huscf_flwr.run.observers import Checkpoints, EventFiles, Logged, Observer, Pace, Shown
from huscf_flwr.run.rounds import OpenRound, Rounds
from huscf_flwr.run.run_folder import RunFolder, last_evaluation, read_metrics
from huscf_flwr.run.run_log import RunLog
from huscf_flwr.run.tensorboard import check_tensorboard
from huscf_flwr.session import Deadlines, DroppedClient, Patience, TooFewClientsError


class RoundFailedError(RuntimeError):
    """A round could not be finished; everything written before it is kept."""


class Run:
    """One run: a method's rounds, and those who are told of them."""

    def __init__(
        self,
        config: RunConfig,
        method: Method,
        *,
        display: Display,
        log: RunLog,
        judging: Judging | None = None,
        images: str | None = None,
        wire: PresetChoice | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Start the clock; without ``judging`` nothing that needs the domains is measured.

        ``images`` is their hash, if the server may look at them: it is part of every checkpoint. ``wire`` is
        how ``wire.preset: auto`` was decided.
        What the judge says is in the line and in the summary that all ``observers`` are told, ours first.
        Raises ``ValueError`` if the configuration wants what is not installed.
        """
        check_tensorboard(config)
        check_emulation(config, type(method))
        self.config = config
        self.rounds = Rounds(config, method, images)
        self.folder = RunFolder(config)
        self._judging = judging
        self._wire = wire
        self._log = log
        self._observers: list[Observer] = [
            *(self.folder, Checkpoints(), Shown(display), Logged()),
            *([EventFiles()] if config.tensorboard else []),
            *observers,
        ]
        self._started = time.monotonic()
        self._pace = Pace()
        self._client_scores: dict[str, dict[str, float]] = {}
        self._evaluation: dict[str, Any] = {}

    @property
    def method(self) -> Method:
        """The server's half of the method."""
        return self.rounds.method

    @property
    def rounds_left(self) -> int:
        """Rounds still to do."""
        return self.rounds.left

    def begin(self, virtual: Collection[int], checkpoint: Checkpoint | None = None) -> None:
        """Make the run's folder, which the caller holds, and go on from ``checkpoint`` if there is one.

        What the ``virtual`` clients keep for themselves must lie beside it, and is taken over.
        """
        if checkpoint is not None:
            checkpoint.check_private(virtual)
            checkpoint.restore(self.rounds)
        self.folder.make(checkpoint, self._note)
        if self._judging is not None:
            self.folder.name_classes(self._judging.class_names, self._judging.class_names_for)
        self._log.write_to(self.folder.path)
        if checkpoint is not None:
            self._started -= sum(line["seconds"] for line in read_metrics(self.folder.path))
            self._evaluation = last_evaluation(self.folder.path)
        for observer in self._observers:
            observer.begin(self.rounds, self.folder.path)
        if checkpoint is not None:
            self._note(f"resumed {checkpoint.run_folder} after round {self.rounds.number}")
        for note in () if self._judging is None else self._judging.notes:
            self._note(note, is_warning=True)
        if self._wire is not None:
            self._note(self._wire.told())
        held_out = self.config.data.held_out
        if held_out and type(self.method).client.classifiers is Client.classifiers:
            self._note(
                f"data.held_out: {held_out:g}, but {self.config.method} has no classifiers to score on the "
                "images that are held out; set it to 0 to train on all of them"
            )

    def open_round(
        self, hosts: Sequence[Sequence[int]], patience: Patience = lambda _: math.inf
    ) -> OpenRound:
        """Begin the next round; ``hosts`` lists the client ids of each host, ``patience`` bounds them."""
        self._log.round = self.rounds.number + 1
        return self.rounds.open(
            hosts, patience=patience, progress=self._progress, on_drop_out=self._note_drop_out
        )

    def select(self, available: Sequence[int]) -> tuple[int, ...]:
        """Return who takes part in the next round, of the clients that are ``available``."""
        return self.rounds.select(available)

    def end_round(self, uploads: Mapping[int, Upload], *, may_retry: bool) -> dict[str, Any] | None:
        """Close the round with what came of its clients; those without a usable upload have dropped out.

        Returns the round's metrics. If too few clients are left, the round fails; if the engine ``may_retry``
        it is taken back for that, and nothing is returned.

        Raises ``RoundFailedError`` if the round has failed for good.
        """
        opened, usable = self.rounds.under_way(), self.rounds.usable(uploads)
        least = self.config.min_clients
        if opened.session.failure is None and len(usable) >= least:
            return self._close_round(usable)
        why = f"{len(usable)} of its clients finished it, fewer than min_clients = {least}"
        if opened.session.dropped:
            client, dropped = list(opened.session.dropped.items())[-1]
            why += f"; the last to drop out was client {client}: {dropped.reason}"
        if not may_retry:
            self.fail(opened, why)
        self.give_up_round(opened, why)
        return None

    @property
    def evaluation_due(self) -> bool:
        """Whether clients are to evaluate models of their own now, and have not done so after this round.

        After the last round they are to do so thoroughly. It may not have been the last when they did.
        """
        number, left = self.rounds.number, self.rounds_left
        due = not left or self._is_judged(number)
        has_models = number > 0 and keeps_models(type(self.method).client)
        asked = self.config.fraction_evaluate > 0
        last = self._evaluation
        done = last.get("round") == number and (left or last.get("thorough"))
        return bool(due and has_models and asked and not done)

    def select_for_evaluation(self, available: Sequence[int]) -> tuple[int, ...]:
        """Return who evaluates models of its own now, of the clients that are ``available``."""
        return self.rounds.select_for_evaluation(available)

    def evaluation_order(self, clients: Sequence[int]) -> EvaluationOrder:
        """Return what the host of ``clients`` is told before they evaluate models of their own."""
        return self.rounds.evaluation_order(clients)

    def close_evaluation(
        self, scores: Mapping[int, OwnScores], drop_outs: Mapping[int, str]
    ) -> dict[str, Any]:
        """Tell everybody how clients found models of their own; return what is told.

        Both are by client id: scores, and why there are none of a client whose models have diverged.
        """
        self._evaluation = {
            **evaluation_of(self.rounds, scores, drop_outs),
            **({} if self._judging is None else {"domains": self._judging.own_models(scores)}),
        }
        for observer in self._observers:
            observer.evaluation(self._evaluation)
        for client, reason in sorted(drop_outs.items()):
            text = f"client {client} dropped out of the evaluation after round {self.rounds.number}: {reason}"
            self._note(text, client, is_warning=True)
        return self._evaluation

    def give_up_round(self, opened: OpenRound, why: str) -> None:
        """Take the round back, to be tried again.

        Raises ``RoundFailedError`` if it has been tried as often as the configuration allows, or ended for a
        reason that another attempt would not change.
        """
        failure = opened.session.failure
        if opened.attempt == self.config.attempts or not isinstance(failure, TooFewClientsError | None):
            self.fail(opened, why)
        self._note(
            f"round {opened.number}, attempt {opened.attempt} of {self.config.attempts} is given up: "
            f"{failure or why}"
        )
        self.rounds.take_back()

    def fail(self, opened: OpenRound, why: BaseException | str | None = None) -> NoReturn:
        """Give the round up because of ``why``, or of what ended its session first.

        Raises ``RoundFailedError`` naming the round.
        """
        cause = opened.session.failure or why
        if isinstance(cause, BaseException):
            raise RoundFailedError(f"round {opened.number}: {told(cause)}") from cause
        raise RoundFailedError(f"round {opened.number}: {cause}")

    def deadlines(self) -> Deadlines:
        """Return how long hosts that may be gone are waited for."""
        section = self.config.executor
        return Deadlines(
            section.timeout, section.least_deadline, section.deadline_factor, self.method.predicted_step_s()
        )

    def record_client_scores(self, scores: Mapping[int, Judged]) -> dict[str, dict[str, float]]:
        """Average the scores that clients gave to their product, weighted by their test samples.

        ``scores`` are by client id. Returns the averages by product.
        """
        self._client_scores = {
            product.name: _weighted_means([scores[k] for k in product.clients if k in scores])
            for product in self.method.products()
            if any(client in scores for client in product.clients)
        }
        return self._client_scores

    def finish(self) -> dict[str, Any]:
        """Judge thoroughly, and tell everybody the summary, which is returned.

        Its seconds are those of this process and of the rounds that it took over. Of models that stay on
        clients it has what was found after the last round; if nobody answered then, nothing.
        """
        scores = domains = None
        evaluation = self._evaluation if self._evaluation.get("round") == self.rounds.number else {}
        if self._judging is not None:
            scores = self._judging.clustering(self.method)
            if self.method.products():
                self._note("judging the generators thoroughly")
            judged = self._judging.domains(self.method, self.rounds.number, thoroughly=True)
            found = evaluation.get("domains", {})
            domains = {name: {**found.get(name, {}), **judged.get(name, {})} for name in {**found, **judged}}
        summary = summary_of(
            self.rounds,
            read_metrics(self.folder.path),
            seconds=time.monotonic() - self._started,
            scores=scores,
            domains=domains,
            client_scores=self._client_scores,
            own_models=evaluation.get("scores", {}),
            wire=self._wire,
        )
        for observer in self._observers:
            observer.end(summary)
        return summary

    def _close_round(self, uploads: Mapping[int, Upload]) -> dict[str, Any]:
        """Let the method take in what came, judge it, and tell everybody; return the round's metrics."""
        method = self.method
        closed = self.rounds.close(uploads)
        line = line_of(method, closed)
        if self._judging is not None:
            line["scores"] = self._judging.clustering(method)
            if self._is_judged(closed.opened.number):
                line["domains"] = self._judging.domains(method, closed.opened.number, thoroughly=False)
        for observer in self._observers:
            observer.round(line, self.rounds)
        for note in closed.outcome.notes:
            self._note(note)
        return line

    def _is_judged(self, number: int) -> bool:
        """Whether ``evaluation.every`` says so of round ``number``.

        It counts rounds of the configuration: a method that has several for one of them is judged as often
        as others.
        """
        config = self.config
        several = max(1, type(self.method).rounds(config) // config.rounds)
        every = config.evaluation.every * several
        return bool(every) and number % every == 0

    def _progress(self, done: int) -> None:
        opened = self.rounds.opened
        if opened is not None and self._pace.is_due(done, opened.total):
            for observer in self._observers:
                observer.progress(opened.number, done, opened.total)

    def _note_drop_out(self, client: int, dropped: DroppedClient) -> None:
        where = "" if dropped.step is None else f" in step {dropped.step}, {dropped.exchange}"
        text = f"client {client} dropped out of round {self.rounds.number}{where}: {dropped.reason}"
        self._note(text, client, is_warning=True)

    def _note(self, text: str, client: int | None = None, *, is_warning: bool = False) -> None:
        for observer in self._observers:
            observer.note(text, client, is_warning=is_warning)


def _weighted_means(judged: Sequence[Judged]) -> dict[str, float]:
    names = sorted({name for each in judged for name in each.scores})
    means = {}
    for name in names:
        known = [(each.samples, each.scores[name]) for each in judged if name in each.scores]
        means[name] = sum(weight * score for weight, score in known) / sum(weight for weight, _ in known)
    return means
