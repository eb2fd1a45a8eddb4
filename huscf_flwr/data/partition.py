"""Partitions: which training images each client holds.

Clients are numbered 0..K-1, domain by domain. They are spread evenly over the domains, and the first domains
take the remainder. The images of a domain are dealt at random, evenly or by a Dirichlet distribution, by one
of Flower's partitioners, or by who holds them. Each client then drops the labels that the scenario excludes
for it, and keeps at most its amount. No image goes to two clients, and every client has at least one. Images
that a client drops are not used, as in the authors' code (Data/data.py:164-219).

The result depends only on the scenario, the labels (and other columns), the number of clients and the seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from huscf_flwr.conf_files import Strict, did_you_mean
from huscf_flwr.data.flower_partitioners import LABEL
from huscf_flwr.data.images import DataError
from huscf_flwr.data.scenarios import DirichletLabels, ExcludedLabels, HeldLabels, Scenario
from huscf_flwr.naming import by_count
from huscf_flwr.seeding import derive_seed, numpy_stream

Indices = NDArray[np.int64]
Excluded = dict[int, frozenset[int]]
"""By client id, the labels that the client lacks."""

Columns = Mapping[str, NDArray[Any]]
"""By name, what images came with beside their labels, each [N]."""

_MOST_DRAWS = 1000
_NO_COLUMNS: Mapping[str, Columns] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Partition:
    """One client's share of its domain's training images.

    Attributes:
        client: its id.
        domain: name of the domain.
        indices: of the images that it trains on, int64, ascending unless they are pooled.
        held_out: of the images that it holds and does not train on, likewise.
        shares: if it stands for several clients whose images are pooled: how many of ``indices`` each of them
            has brought.
    """

    client: int
    domain: str
    indices: Indices
    held_out: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    shares: tuple[int, ...] | None = None


class PartitionRules(Strict):
    """Two mistakes in the authors' code, corrected unless ``authors`` is chosen.

    Attributes:
        id_offset: whose exclusions and amount a client gets. ``corrected``: its own. ``authors``: clients
            of the authors' third and fourth domain look them up under a wrong id, ``kmnist`` under
            (number of kmnist clients + i) and ``notmnist`` under (number of mnist and fashion-mnist
            clients + i), although the exclusions are stored under the right one (Data/data.py:156, 167,
            199, 211). They usually find none, so such a client lacks no label and gets another
            client's amount.
        exclusion_pattern: ``per-domain``: each domain draws its own exclusions. ``authors``: all domains
            but the first use one seed, so their i-th clients lack the same labels
            (Data/data.py:144-167: seed 42 for the first, 32 for all others).
    """

    id_offset: Literal["corrected", "authors"] = "corrected"
    exclusion_pattern: Literal["per-domain", "authors"] = "per-domain"


def clients_per_domain(domains: Sequence[str], clients: int) -> dict[str, int]:
    """Spread clients evenly over domains; the first domains take the remainder.

    Raises:
        DataError: if there are fewer clients than domains.
    """
    if clients < len(domains):
        raise DataError(
            f"{clients} clients cannot cover {len(domains)} domains ({', '.join(domains)}): use "
            f"at least {len(domains)} clients or fewer domains"
        )
    each, remainder = divmod(clients, len(domains))
    return {name: each + (place < remainder) for place, name in enumerate(domains)}


def partition(
    scenario: Scenario,
    labels: Mapping[str, Tensor],
    *,
    clients: int,
    seed: int,
    rules: PartitionRules = PartitionRules(),  # noqa: B008  (frozen)
    columns: Mapping[str, Columns] = _NO_COLUMNS,
    holders: Mapping[str, Tensor] = MappingProxyType({}),
) -> tuple[Partition, ...]:
    """Deal the training images of a scenario's domains to its clients.

    Args:
        scenario: the domains and the rules.
        labels: for each domain, the labels of its training images, int64 tensor [N].
        clients: number of clients over all domains.
        seed: the same seed gives the same partitions.
        rules: which of the authors' mistakes to repeat.
        columns: for each domain that has any, its other columns, by which a partitioner of Flower's may part.
        holders: for each domain that says so, who holds each of its training images, int64 tensor [N].

    Returns:
        One partition per client, ordered by client id.

    Raises:
        DataError: if a domain is missing, there are more clients than samples or fewer clients than
            domains, or the rules leave a client or a class without a sample.
    """
    counts = clients_per_domain(scenario.domain_names, clients)
    if isinstance(scenario.labels, HeldLabels) and not holders:
        raise DataError(
            f"labels.kind is holders, but no domain says who holds its images ({', '.join(counts)}): say "
            "by_holder: true with one whose folder has a part for each, or take another kind"
        )
    fractions = _draw_fractions(scenario, clients, seed)
    partitions: list[Partition] = []
    for place, (name, count) in enumerate(counts.items()):
        known = _labels_of(name, labels, count)
        first = len(partitions)
        excluded = _draw_excluded(scenario, known, first, count, _exclusion_stream(place, seed, rules))
        dealing = numpy_stream(seed, "partition", "dealing", place)
        if scenario.partitioner is not None:
            all_columns = {**columns.get(name, {}), LABEL: known}
            drawn_seed = derive_seed(seed, "partition", "partitioner", place)
            shares = scenario.partitioner.deal(name, all_columns, count, drawn_seed)
        elif isinstance(scenario.labels, HeldLabels) and name in holders:
            shares = _deal_holders(name, holders[name].numpy(), count)
        else:
            shares = _deal(scenario, known, count, dealing)
        for i, share in enumerate(shares):
            looked_up = _id_to_look_up(name, i, first, counts, rules)
            if looked_up not in fractions:
                raise DataError(_no_amount(name, first + i, looked_up))
            lacking = list(excluded.get(looked_up, ()))
            kept = dealing.permutation(share[~np.isin(known[share], lacking)])
            chosen = np.sort(kept[: _limit(fractions[looked_up], len(share), scenario, clients)])
            partitions.append(_checked(Partition(first + i, name, chosen)))
    return tuple(partitions)


def _exclusion_stream(place: int, seed: int, rules: PartitionRules) -> np.random.Generator:
    shared = rules.exclusion_pattern == "authors" and place > 0
    return numpy_stream(seed, "partition", "exclusions", 1 if shared else place)


def _labels_of(name: str, labels: Mapping[str, Tensor], count: int) -> Indices:
    if name not in labels:
        raise DataError(
            f"no labels for domain '{name}'{did_you_mean(name, labels)}: found {', '.join(labels)}"
        )
    found: Indices = labels[name].numpy()
    if len(found) < count:
        samples = by_count(len(found), "training sample", "training samples")
        raise DataError(
            f"domain '{name}' has {len(found)} {samples} for {count} clients: give it at most "
            f"{len(found)} {by_count(len(found), 'client', 'clients')}"
        )
    return found


def _draw_fractions(scenario: Scenario, clients: int, seed: int) -> dict[int, float]:
    odds = np.asarray(scenario.sizes.odds)
    drawn = numpy_stream(seed, "partition", "sizes").choice(
        scenario.sizes.fractions, size=clients, p=odds / odds.sum()
    )
    return dict(enumerate(drawn.tolist()))


def _draw_excluded(
    scenario: Scenario, labels: Indices, first: int, count: int, generator: np.random.Generator
) -> Excluded:
    """Return the labels that the clients of a domain, ``first`` to ``first + count - 1``, lack."""
    rule = scenario.labels
    if not isinstance(rule, ExcludedLabels):
        return {}
    classes = np.unique(labels)
    if max(rule.counts) >= len(classes):
        raise DataError(
            f"labels.counts: a client cannot lack {max(rule.counts)} of {len(classes)} classes; "
            f"each must keep one"
        )
    for _ in range(_MOST_DRAWS):
        drawn = [_draw_labels(rule, classes, generator) for _ in range(count)]
        if not rule.keep_every_class or not frozenset.intersection(*drawn):
            return {first + i: lacking for i, lacking in enumerate(drawn)}
    raise DataError(
        f"labels.keep_every_class: {count} clients that lack {list(rule.counts)} labels did not "
        f"cover all {len(classes)} classes in {_MOST_DRAWS} draws; use more clients"
    )


def _draw_labels(rule: ExcludedLabels, classes: Indices, generator: np.random.Generator) -> frozenset[int]:
    odds = np.asarray(rule.odds)
    count = generator.choice(rule.counts, p=odds / odds.sum())
    return frozenset(generator.choice(classes, size=count, replace=False).tolist())


def _deal(scenario: Scenario, labels: Indices, count: int, generator: np.random.Generator) -> list[Indices]:
    if isinstance(scenario.labels, DirichletLabels):
        return _deal_dirichlet(scenario.labels, labels, count, generator)
    return np.array_split(generator.permutation(len(labels)), count)


def _deal_holders(name: str, holders: Indices, count: int) -> list[Indices]:
    """Deal whole holders to ``count`` clients in their order, as evenly as their number allows."""
    known = np.unique(holders)
    if len(known) < count:
        have, most = by_count(len(known), "holder", "holders"), by_count(len(known), "client", "clients")
        raise DataError(
            f"domain '{name}' has {len(known)} {have} for {count} clients, and labels.kind is holders, "
            f"which divides none: give it at most {len(known)} {most}"
        )
    return [np.flatnonzero(np.isin(holders, own)) for own in np.array_split(known, count)]


def _deal_dirichlet(
    rule: DirichletLabels, labels: Indices, count: int, generator: np.random.Generator
) -> list[Indices]:
    if count * rule.minimum > len(labels):
        raise DataError(
            f"labels.minimum: {count} clients with at least {rule.minimum} samples each need "
            f"{count * rule.minimum}, but the domain has {len(labels)}: use fewer clients"
        )
    dealt: list[list[Indices]] = [[] for _ in range(count)]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        proportions = generator.dirichlet(np.full(count, rule.alpha))
        ends = np.round(np.cumsum(proportions)[:-1] * len(members)).astype(np.int64)
        for client, part in enumerate(np.split(members, ends)):
            dealt[client].append(part)
    return _top_up([generator.permutation(np.concatenate(parts)) for parts in dealt], rule.minimum)


def _top_up(shares: list[Indices], minimum: int) -> list[Indices]:
    """Move samples one by one from the largest share until no share is below ``minimum``.

    The largest is above ``minimum`` as long as one is below, so no share is on both sides.
    """
    rich = [(-len(share), client) for client, share in enumerate(shares) if len(share) > minimum]
    heapq.heapify(rich)
    for poor in range(len(shares)):
        while len(shares[poor]) < minimum:
            size, client = rich[0]
            shares[poor] = np.append(shares[poor], shares[client][-1])
            shares[client] = shares[client][:-1]
            heapq.heapreplace(rich, (size + 1, client))
    return shares


def _id_to_look_up(name: str, i: int, first: int, counts: Mapping[str, int], rules: PartitionRules) -> int:
    """Return the client id whose exclusions and amount the ``i``-th client of a domain gets."""
    if rules.id_offset == "authors" and name == "kmnist":
        return counts["kmnist"] + i
    if rules.id_offset == "authors" and name == "notmnist":
        return counts.get("mnist", 0) + counts.get("fashion-mnist", 0) + i
    return first + i


def _no_amount(name: str, client: int, looked_up: int) -> str:
    return (
        f"id_offset: 'authors' looks up the amount of client {client} (domain '{name}') under client "
        f"{looked_up}, which does not exist; the authors' code stops here too: use 'corrected'"
    )


def _limit(fraction: float, share: int, scenario: Scenario, clients: int) -> int:
    # The authors always take the fraction of the cap. For a domain of MNIST's size that is the same; in a
    # smaller one, clients with a fraction below one could still keep their whole share.
    full = share if scenario.cap_total is None else min(share, scenario.cap_total // clients)
    return max(1, int(fraction * full))


def _checked(part: Partition) -> Partition:
    if len(part.indices) == 0:
        raise DataError(
            f"client {part.client} of domain '{part.domain}' has no sample left: it was dealt none, or only "
            "such whose labels the scenario excludes; use fewer clients or another scenario"
        )
    return part
