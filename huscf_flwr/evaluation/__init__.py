"""How good the result is, and how it is shown.

Judging (`domain_scores`, `judge`, `judging`, `scores`, `synthetic`) is for whoever holds real images: a
simulation, or a client on its own test data. Showing (`figures`, `report`, `tables`) reads only the files of
a run's folder; import those modules by name, so that whoever only judges loads no drawing library.
"""

from huscf_flwr.evaluation.classifier import TrainingSettings
from huscf_flwr.evaluation.domain_scores import (
    DomainScores,
    EvaluationSettings,
    judge_domain,
    judge_quickly,
)
from huscf_flwr.evaluation.judge import Judge, load_or_train_judge, train_judge
from huscf_flwr.evaluation.scores import adjusted_rand_index
from huscf_flwr.evaluation.synthetic import balanced_labels, draw_images

__all__ = [
    "DomainScores",
    "EvaluationSettings",
    "Judge",
    "TrainingSettings",
    "adjusted_rand_index",
    "balanced_labels",
    "draw_images",
    "judge_domain",
    "judge_quickly",
    "load_or_train_judge",
    "train_judge",
]
