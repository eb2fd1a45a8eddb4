"""The one registry of what is measured: what a number is called, which way is better, how it is shown.

Round lines, tables, charts and TensorBoard all ask it, and none of them has a list of its own. An
unregistered number appears too, under its own name, so that a new method needs nothing here; its author
may ``register`` what is known about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]
Place = Literal["rounds", "costs", "audits"]
"""Where few numbers must say how good a run is: in curves over its rounds, beside what it costs in bytes and
seconds, and in a table of what defences cost.
"""


@dataclass(frozen=True)
class Metric:
    """What is known of one number.

    Attributes:
        name: its key in ``metrics.jsonl`` and ``summary.json``.
        title: as in running text; ``heading`` is the same at the start of a line.
        better: which way is better; None if neither is.
        digits: decimal places.
        limits: lowest and highest value of a chart; None takes what the values need.
        percent: tables show it as a share of one, in percent.
        detail: left out where space is short.
        shown: the places of a few numbers that it is in.
        chart: heading of the chart that it shares with others; empty for one of its own.
        short: what it is called in a line of many numbers, if that is not the title.
        by_judge: whether it is what a judge says, which means little where the judge is often wrong.
        meaning: a sentence or two for the reader of a report.
    """

    name: str
    title: str
    better: Better | None = None
    digits: int = 3
    limits: tuple[float | None, float | None] = (None, None)
    percent: bool = False
    detail: bool = False
    shown: tuple[Place, ...] = ()
    chart: str = ""
    short: str = ""
    by_judge: bool = False
    meaning: str = ""

    @property
    def heading(self) -> str:
        """The title with a capital letter."""
        return self.title[:1].upper() + self.title[1:]

    def reaches(self, value: float, target: float) -> bool:
        """Return whether ``value`` is as good as ``target``, or better; False if neither way is better."""
        return {"higher": value >= target, "lower": value <= target, None: False}[self.better]


_REGISTERED: dict[str, Metric] = {}


def register(metric: Metric) -> Metric:
    """Make a metric known to everything that shows numbers, and return it.

    Raises ``ValueError`` if another one has its name.
    """
    known = _REGISTERED.setdefault(metric.name, metric)
    if known != metric:
        raise ValueError(
            f"the metric {metric.name} is registered already, as '{known.title}': take another name"
        )
    return metric


def registered_names() -> tuple[str, ...]:
    """Return the names of all registered metrics, in their order."""
    return tuple(_REGISTERED)


def metric_named(name: str) -> Metric:
    """Return the metric of a name; a plain one if it is not registered."""
    return _REGISTERED.get(name) or Metric(name, name.replace("_", " "))


def metrics_named(names: Iterable[str]) -> list[Metric]:
    """Return the metrics of names, each once: registered ones first and in their order, then the others."""
    found = dict.fromkeys(names)
    known = [metric for name, metric in _REGISTERED.items() if name in found]
    return known + [metric_named(name) for name in found if name not in _REGISTERED]


def metrics_shown(place: Place) -> list[Metric]:
    """Return the few metrics of a place, in the order in which they were registered."""
    return [metric for metric in _REGISTERED.values() if place in metric.shown]


_SHARE = (0.0, 1.0)

for _metric in (
    Metric(
        "accuracy", "accuracy", "higher", 3, _SHARE, shown=("rounds", "costs"),
        meaning="Accuracy: share of real images that a client’s own classifier gets right.",
    ),
    Metric(
        "f1", "F1", "higher", 3, _SHARE,
        meaning="F1: mean over the classes of the harmonic mean of precision and recall of a client’s own "
        "classifier.",
    ),
    Metric(
        "loss", "cross-entropy", "lower", 3, (0.0, None), detail=True,
        meaning="Cross-entropy: mean of −ln p of the true class, by a client’s own classifier.",
    ),
    Metric(
        "prototype_accuracy", "prototype accuracy", "higher", 3, _SHARE,
        meaning="Prototype accuracy: the same if the client takes the class with the nearest prototype.",
    ),
    Metric(
        "worst_accuracy", "worst accuracy", "higher", 3, _SHARE, short="worst",
        meaning="Worst accuracy: that of the client whose classifier does worst.",
    ),
    Metric(
        "held_out_accuracy", "accuracy at home", "higher", 3, _SHARE, short="at home",
        meaning="Accuracy at home: on images of the client’s own that it has not trained on.",
    ),
    Metric("worst_held_out_accuracy", "worst accuracy at home", "higher", 3, _SHARE, short="worst there"),
    Metric(
        "untuned_held_out_accuracy", "accuracy at home before tuning", "higher", 3, _SHARE,
        short="untuned there",
    ),
    Metric(
        "untuned_accuracy", "accuracy before tuning", "higher", 3, _SHARE, short="untuned",
        meaning="Accuracy before tuning: that of a client’s classifier before it trains on drawn images.",
    ),
    Metric("untuned_f1", "F1 before tuning", "higher", 3, _SHARE, detail=True),
    Metric("untuned_loss", "cross-entropy before tuning", "lower", 3, (0.0, None), detail=True),
    Metric(
        "prototype_held_out_accuracy", "prototype accuracy at home", "higher", 3, _SHARE,
        short="prototype there",
    ),
    Metric("prototype_f1", "prototype F1", "higher", 3, _SHARE),
    Metric("prototype_loss", "prototype cross-entropy", "lower", 3, (0.0, None), detail=True),
    Metric(
        "uncalibrated_accuracy", "accuracy before calibration", "higher", 3, _SHARE, short="uncalibrated",
        meaning="Accuracy before calibration: that of a client’s classifier with its own head.",
    ),
    Metric(
        "uncalibrated_held_out_accuracy", "accuracy at home before calibration", "higher", 3, _SHARE,
        short="uncalibrated there",
    ),
    Metric("uncalibrated_f1", "F1 before calibration", "higher", 3, _SHARE, detail=True),
    Metric("uncalibrated_loss", "cross-entropy before calibration", "lower", 3, (0.0, None), detail=True),
    Metric(
        "proxy_accuracy", "proxy accuracy", "higher", 3, _SHARE, short="proxy",
        meaning="Proxy accuracy: that of the small network that stands for a client’s own, and is averaged.",
    ),
    Metric("proxy_held_out_accuracy", "proxy accuracy at home", "higher", 3, _SHARE, short="proxy there"),
    Metric("proxy_f1", "proxy F1", "higher", 3, _SHARE, detail=True),
    Metric("proxy_loss", "proxy cross-entropy", "lower", 3, (0.0, None), detail=True),
    Metric(
        "label_fidelity", "label fidelity", "higher", 3, _SHARE, shown=("rounds", "audits"), by_judge=True,
        meaning="Label fidelity: share of generated images that a judge, trained on real training images, "
        "takes for the label asked for.",
    ),
    Metric(
        "tstr_accuracy", "TSTR accuracy", "higher", 3, _SHARE, shown=("costs", "audits"),
        meaning="TSTR: a classifier trained on synthetic and tested on real images.",
    ),
    Metric("tstr_f1", "TSTR F1", "higher", 3, _SHARE),
    Metric(
        "generation_score", "generation score", "higher", 2, (1.0, None), short="score", by_judge=True,
        meaning="Generation score: 1 at worst, the number of classes at best.",
    ),
    Metric(
        "fid", "FID", "lower", 1, (0.0, None), by_judge=True,
        meaning="FID: Fréchet distance between the judge’s features of generated and of real images; "
        "comparable within a domain only.",
    ),
    Metric(
        "inception_fid", "Inception FID", "lower", 1, (0.0, None),
        meaning="Inception FID: the same distance between the features of torchvision’s Inception v3, whose "
        "weights lie on disk; not comparable with other programs’ FIDs.",
    ),
    Metric(
        "judge_accuracy", "judge accuracy", None, 3, _SHARE, short="judge",
        meaning="Judge accuracy: share of real test images whose label the judge finds; where it is low, "
        "label fidelity, generation score and FID mean little.",
    ),
    Metric("tstr_precision", "TSTR precision", "higher", 3, _SHARE, detail=True),
    Metric("tstr_recall", "TSTR recall", "higher", 3, _SHARE, detail=True),
    Metric("tstr_fpr", "TSTR FPR", "lower", 3, _SHARE, detail=True),
    Metric(
        "ari", "adjusted Rand index", "higher", 2, (None, 1.02), chart="Clustering", short="ARI",
        meaning="Adjusted Rand index: how well clusters agree with the true domains; 1 is perfect, 0 is "
        "chance.",
    ),
    Metric("silhouette", "silhouette", "higher", 2, (None, 1.02), chart="Clustering"),
    Metric("bodies", "bodies", None, 0, (0.0, None), detail=True),
    Metric(
        "weight", "weight", None, 3, _SHARE, percent=True,
        meaning="Weight: the client’s part in the average that it gets.",
    ),
    Metric("global_weight", "weight among all clients", None, 3, _SHARE, percent=True, detail=True),
    Metric("divergence", "divergence", None, 4, (0.0, None)),
    Metric(
        "epsilon", "epsilon spent", "lower", 3, (0.0, None), short="epsilon",
        meaning="Epsilon spent: what all trainings of a client together tell of one of its images at most, "
        "at the run’s delta and with secret noise.",
    ),
):  # fmt: skip
    register(_metric)
