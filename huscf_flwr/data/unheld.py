"""Training images and classes that no client holds, and what in the scenario leaves them out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from huscf_flwr.data.domain_source import DomainSource
from huscf_flwr.data.domains import Domain
from huscf_flwr.data.partition import Partition
from huscf_flwr.data.scenarios import ExcludedLabels, Scenario, load_scenario
from huscf_flwr.naming import first_few

_MOST_NAMED = 12
_OF_ALL = {1: "one-domain-iid", 2: "two-domains-iid"}
"""By number of domains, scenarios of ours whose clients have all labels."""
_OF_MORE = "four-domains-iid"


def unheld_notes(
    domains: Mapping[str, Domain],
    partitions: Sequence[Partition],
    scenario: Scenario,
    chosen: str,
    named: Sequence[str] | None,
) -> tuple[str, ...]:
    """Return what no client holds, a sentence each; nothing if every image is held.

    Args:
        domains: by name, in the scenario's order.
        partitions: of all clients.
        scenario: how the images were dealt.
        chosen: ``data.scenario``.
        named: ``data.domains``.
    """
    without = {name: ~_held(name, domain, partitions) for name, domain in domains.items()}
    images = [
        f"{int(left.sum()):,} of {len(left):,} of {name}" for name, left in without.items() if left.any()
    ]
    if not images:
        return ()
    all_kept = _what_keeps_all(domains, partitions, scenario, named)
    lacking = [_classes(domain, without[name]) for name, domain in domains.items()]
    classes = [f"{names} of {name}" for names, name in zip(lacking, domains, strict=True) if names]
    said = [
        f"training images that no client holds: {', '.join(images)}; data.scenario is {chosen}, which "
        f"{' and '.join(_reasons(scenario))}; {all_kept} keeps all"
    ]
    if classes:
        remedies = ", or ".join([*_remedies(domains, partitions, scenario), all_kept])
        said.insert(
            0,
            f"classes that no client holds, so that nobody learns them: {'; '.join(classes)}; to keep them, "
            f"take {remedies}",
        )
    return tuple(said)


def _held(name: str, domain: Domain, partitions: Sequence[Partition]) -> NDArray[np.bool_]:
    """Return of each training image of a domain whether a client holds it."""
    held = np.zeros(len(domain.train), dtype=np.bool_)
    for part in partitions:
        if part.domain == name:
            held[part.indices] = True
            held[part.held_out] = True
    return held


def _classes(domain: Domain, without: NDArray[np.bool_]) -> str:
    """Return the names of the classes of which no client has an image; empty if there are none."""
    labels = domain.train.labels.numpy()
    names = domain.class_names
    lost = np.setdiff1d(labels, labels[~without]).tolist()
    return first_few([names[label] if label < len(names) else label for label in lost], _MOST_NAMED)


def _reasons(scenario: Scenario) -> list[str]:
    """Return all in a scenario by which images may be left out."""
    reasons = {
        "drops labels": isinstance(scenario.labels, ExcludedLabels),
        "takes fractions": min(scenario.sizes.fractions) < 1,
        f"has a cap_total of {scenario.cap_total or 0:,}": scenario.cap_total is not None,
        "has a partitioner": scenario.partitioner is not None,
    }
    return [reason for reason, applies in reasons.items() if applies]


def _remedies(
    domains: Mapping[str, Domain], partitions: Sequence[Partition], scenario: Scenario
) -> list[str]:
    """Return what else than all images keeps every class, where clients lack labels."""
    labels = scenario.labels
    if not isinstance(labels, ExcludedLabels) or labels.keep_every_class:
        return []
    clients = Counter(part.domain for part in partitions)
    classes = {name: len(np.unique(domain.train.labels.numpy())) for name, domain in domains.items()}
    can_cover = all(clients[name] * (count - min(labels.counts)) >= count for name, count in classes.items())
    return [*(["keep_every_class: true in the scenario's labels"] if can_cover else []), "more clients"]


def _what_keeps_all(
    domains: Mapping[str, Domain],
    partitions: Sequence[Partition],
    scenario: Scenario,
    named: Sequence[str] | None,
) -> str:
    """Return which scenario would leave no image out: one of ours, if its cap cuts no client short."""
    ours = _OF_ALL.get(len(domains), _OF_MORE)
    cap_total = load_scenario(ours).cap_total
    cap = math.inf if cap_total is None else cap_total // len(partitions)
    clients = Counter(part.domain for part in partitions)
    are_named = all(source == DomainSource(name=source.name) for source in scenario.domains)
    if are_named and all(len(domain.train) <= cap * clients[name] for name, domain in domains.items()):
        return f"data.scenario={ours}" + ("" if named else f" with data.domains={','.join(domains)}")
    return "a scenario file with labels: {kind: all} and without cap_total, sizes and partitioner"
