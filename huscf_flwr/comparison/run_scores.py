"""What the records of one run say of its scores, round by round, and of the bytes until then."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.run_record import DIRECTIONS, Json, RunRecord, by_client, numbers, part
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


def judged_by_round(record: RunRecord, domain: str, metric: str) -> dict[int, float]:
    """Return a metric of a domain, or of own models, after each round after which it was judged."""
    if domain != OWN_MODELS:
        return _by_round((*record.rounds, *record.evaluations), "domains", domain, metric)
    place = _OF_OWN_MODELS.get(metric)
    return {} if place is None else _by_round(record.evaluations, "scores", *place)


def agreement_by_round(record: RunRecord, metric: str) -> dict[int, float]:
    """Return a metric of the clusters of each round of which it is known."""
    return _by_round(record.rounds, "scores", metric)


def _by_round(lines: Iterable[Json], *keys: str) -> dict[int, float]:
    """Return the known numbers below nested keys, by round."""
    found = ((int(line["round"]), known_number(part(line, *keys))) for line in lines)
    return {number: value for number, value in found if value is not None}


def bytes_by_round(record: RunRecord, way: str) -> dict[int, float]:
    """Return what a client has sent (``up``) or received (``down``) until after each round.

    It is the mean over all clients of the run, whether or not they took part, of what crossed for those who
    took part in a round to its end.
    """
    of_rounds = (sum(by_client(line, "bytes", way).values()) for line in record.rounds)
    rounds = (int(line["round"]) for line in record.rounds)
    return {
        number: sent / len(record.clients) for number, sent in zip(rounds, accumulate(of_rounds), strict=True)
    }


def both_ways_by_round(record: RunRecord) -> dict[int, float]:
    """Return what a client has sent and received together until after each round."""
    up, down = (bytes_by_round(record, way) for way in DIRECTIONS)
    return {number: up[number] + down[number] for number in up}


def bytes_to_target(record: RunRecord, domain: str, metric: Metric, target: float) -> float | None:
    """Return what a client has sent and received when a metric is first as good as ``target``.

    None if it never is. What is known when the run is over counts as judged after its last round.
    """
    sent = both_ways_by_round(record)
    judged = judged_by_round(record, domain, metric.name)
    at_the_end = scores_at_the_end(record, domain).get(metric.name)
    if at_the_end is not None:
        judged[max(sent)] = at_the_end
    reached = (number for number, value in sorted(judged.items()) if metric.reaches(value, target))
    return next((sent[number] for number in reached), None)
