"""How good the result is, and how it is shown.

Judging (`judge`, `harness`, `scores`, `synthetic`) is for whoever holds real images: a simulation, or a
client on its own test data. Showing (`figures`, `report`, `tables`) reads only the files of a run's
folder; import those modules by name, so that whoever only judges loads no drawing library.
"""

from huscf_flwr.evaluation.classifier import TrainingSettings
from huscf_flwr.evaluation.harness import (
    DomainScores,
    EvaluationSettings,
    cluster_of_domain,
    judge_domain,
    judge_quickly,
)
from huscf_flwr.evaluation.judge import Judge, load_or_train_judge, train_judge
from huscf_flwr.evaluation.scores import adjusted_rand_index
from huscf_flwr.evaluation.synthetic import Sampler, balanced_labels, draw_images

__all__ = [
    "DomainScores",
    "EvaluationSettings",
    "Judge",
    "Sampler",
    "TrainingSettings",
    "adjusted_rand_index",
    "balanced_labels",
    "cluster_of_domain",
    "draw_images",
    "judge_domain",
    "judge_quickly",
    "load_or_train_judge",
    "train_judge",
]
