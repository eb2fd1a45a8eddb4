"""What the records of one run say of its scores, round by round, and of the bytes until then."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.run_record import DIRECTIONS, RunRecord, byte_total, items, numbers, part
from huscf_flwr.metrics import Metric

OWN_MODELS = "own models"
"""Where the scores of classifiers that stay on their clients stand, beside the domains."""

_OF_OWN_MODELS = {
    "accuracy": ("test", "accuracy", "mean"),
    "worst_accuracy": ("test", "accuracy", "worst"),
    "untuned_accuracy": ("test", "untuned_accuracy", "mean"),
    "prototype_accuracy": ("test", "prototype_accuracy", "mean"),
    "uncalibrated_accuracy": ("test", "uncalibrated_accuracy", "mean"),
    "proxy_accuracy": ("test", "proxy_accuracy", "mean"),
    "held_out_accuracy": ("held_out", "accuracy", "mean"),
    "worst_held_out_accuracy": ("held_out", "accuracy", "worst"),
    "untuned_held_out_accuracy": ("held_out", "untuned_accuracy", "mean"),
    "prototype_held_out_accuracy": ("held_out", "prototype_accuracy", "mean"),
    "uncalibrated_held_out_accuracy": ("held_out", "uncalibrated_accuracy", "mean"),
    "proxy_held_out_accuracy": ("held_out", "proxy_accuracy", "mean"),
}
"""By metric: on which images, which score, and which of its statistics over the clients."""


def own_model_scores(scores: Any) -> dict[str, float]:
    """Return the scores of classifiers that stay on their clients, by metric, of a run's ``own_models``."""
    found = {name: known_number(part(scores, *path)) for name, path in _OF_OWN_MODELS.items()}
    return {name: value for name, value in found.items() if value is not None}


def scores_at_the_end(record: RunRecord, domain: str) -> dict[str, float]:
    """Return what is known of a domain, or of own models, when the run is over, by metric."""
    if domain == OWN_MODELS:
        return own_model_scores(part(record.summary, "own_models"))
    return dict(numbers(record.domains.get(domain)))


def judged_by_round(record: RunRecord, domain: str, metric: str) -> Iterator[tuple[int, float]]:
    """Yield each round after which a metric of a domain, or of own models, was judged, and its value."""
    if domain == OWN_MODELS:
        for line in record.evaluations:
            own = own_model_scores(part(line, "scores"))
            if metric in own:
                yield int(line["round"]), own[metric]
        return
    for line in (*record.rounds, *record.evaluations):
        value = known_number(part(line, "domains", domain, metric))
        if value is not None:
            yield int(line["round"]), value


def agreement_by_round(record: RunRecord, score: str) -> Iterator[tuple[int, float]]:
    """Yield each round of which a score of its clusters is known, and its value."""
    for line in record.rounds:
        value = known_number(part(line, "scores", score))
        if value is not None:
            yield int(line["round"]), value


def bytes_by_round(record: RunRecord) -> dict[int, float]:
    """Return what a client has sent and received until after each round, the mean over the clients."""
    clients = max(1, len(items(record.described, "clients")))
    of_rounds = (sum(byte_total(line, way) or 0.0 for way in DIRECTIONS) for line in record.rounds)
    names = (int(line["round"]) for line in record.rounds)
    return {number: sent / clients for number, sent in zip(names, accumulate(of_rounds), strict=True)}


def bytes_to_target(record: RunRecord, domain: str, metric: Metric, target: float) -> float | None:
    """Return what a client has sent and received when a metric is first as good as ``target``.

    None if it never is. What is known when the run is over counts as judged after its last round.
    """
    sent = bytes_by_round(record)
    judged = dict(judged_by_round(record, domain, metric.name))
    at_the_end = scores_at_the_end(record, domain).get(metric.name)
    if at_the_end is not None:
        judged[max(sent)] = at_the_end
    reached = (number for number, value in sorted(judged.items()) if metric.reaches(value, target))
    return next((sent[number] for number in reached), None)
