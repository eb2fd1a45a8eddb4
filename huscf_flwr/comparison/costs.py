"""What the runs of one column cost and show, by one rule for all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import mean
from typing import Any

from huscf_flwr.comparison.run_scores import bytes_by_round
from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import (
    FLOP_RULES,
    CutProblem,
    DeviceFile,
    FlopRule,
    LatencyOptions,
    Price,
    deal,
    load_devices,
)
from huscf_flwr.evaluation.run_record import DIRECTIONS, RunRecord, items, names_of, part
from huscf_flwr.methods import method_of
from huscf_flwr.methods.contract import Reveal, round_size
from huscf_flwr.models import model_spec_of
from huscf_flwr.session import sent_bytes


@dataclass(frozen=True)
class Costs:
    """Costs of a column; the means of its runs where they differ.

    Bytes are counted by the ledger. Arithmetic and seconds are predicted by the latency model, for the
    configured device profiles; ``without_slowest`` deals the others to the same number of clients.
    """

    bytes_by_client: Mapping[str, float]
    """Of a client in a whole run, the mean over clients, by direction; empty if images are pooled."""
    bytes_of_round: Mapping[str, float]
    """Of a client in a round, likewise."""
    rounds: int
    steps: float
    """Of a round."""
    prices: Mapping[FlopRule, Price]
    without_slowest: Mapping[FlopRule, Price]
    """Empty if there is one class of devices only."""
    shows_server: tuple[Reveal, ...]
    shows_clients: tuple[Reveal, ...]
    memory: Mapping[str, float]
    """Most bytes of tensors that a client has at once, by what it is doing; empty unless measured."""

    def as_json(self) -> dict[str, Any]:
        """Return everything, in plain values."""
        exact = self.prices.get("exact")
        return {
            "rounds": self.rounds,
            "steps_of_round": self.steps,
            "bytes_by_client": dict(self.bytes_by_client),
            "bytes_by_client_and_round": dict(self.bytes_of_round),
            "client_gflop_of_step": None if exact is None else exact.client_gflop,
            "server_gflop_of_step": None if exact is None else exact.server_gflop,
            "predicted_step_s": {
                "all": {rule: price.step_s for rule, price in self.prices.items()},
                "without_slowest": {rule: price.step_s for rule, price in self.without_slowest.items()},
            },
            "shows_server": [each.value for each in self.shows_server],
            "shows_clients": [each.value for each in self.shows_clients],
            "client_memory_bytes": dict(self.memory),
        }


def costs_of(config: RunConfig, records: Sequence[RunRecord]) -> Costs:
    """Return what the finished runs of ``config``, which differ in their seeds, cost."""
    crossing = method_of(config).crossing
    rounds = len(records[0].rounds)
    pooled = method_of(config).pools_domains
    total = {} if pooled else {way: _bytes_by_client(records, way) for way in DIRECTIONS}
    steps = mean(line["steps"] for record in records for line in record.rounds)
    clients = len(items(records[0].described, "clients")) or config.clients
    prices, rest = prices_of(config, clients=clients, steps=round(steps))
    return Costs(
        bytes_by_client=total,
        bytes_of_round={way: count / rounds for way, count in total.items()},
        rounds=rounds,
        steps=steps,
        prices=prices,
        without_slowest=rest,
        shows_server=shown(crossing.shows_server, crossing.names_up()),
        shows_clients=shown(crossing.shows_clients, crossing.names_down()),
        memory=_memory(records),
    )


@lru_cache(maxsize=256)
def prices_of(
    config: RunConfig, *, clients: int, steps: int
) -> tuple[dict[FlopRule, Price], dict[FlopRule, Price]]:
    """Return what a step costs by each rule: with all classes of devices, and without the slowest.

    The devices are those of a round's clients. A method without a price has none.
    """
    profiles = load_devices(config.cuts.devices)
    rest = profiles.without_slowest()
    in_a_round = round_size(clients, fraction=config.fraction_train, least=config.min_train_clients)
    return (
        _prices(config, profiles, clients=in_a_round, steps=steps),
        {} if rest is None else _prices(config, rest, clients=in_a_round, steps=steps),
    )


def _prices(config: RunConfig, profiles: DeviceFile, *, clients: int, steps: int) -> dict[FlopRule, Price]:
    prices = {}
    for rule in FLOP_RULES:
        problem = CutProblem(
            model_spec_of(config),
            deal(profiles.devices, clients),
            profiles.server,
            config.batch_size,
            rule,
            LatencyOptions(steps_per_round=steps),
            sent=sent_bytes(config),
        )
        price = method_of(config).price(config, problem)
        if price is not None:
            prices[rule] = price
    return prices


def shown(said: Mapping[str, Reveal], names: Sequence[str]) -> tuple[Reveal, ...]:
    """Return what is learned from all that crosses in one direction, the worst first, each once.

    Something of which nobody has said what it shows may show everything.
    """
    found = {said.get(name, Reveal.UNSAID) for name in names}
    return tuple(each for each in Reveal if each in found and each is not Reveal.NOTHING)


def _bytes_by_client(records: Sequence[RunRecord], way: str) -> float:
    """Return the bytes of a client in a whole run, the mean over the runs."""
    return mean(max(bytes_by_round(record, way).values()) for record in records)


def _memory(records: Sequence[RunRecord]) -> dict[str, float]:
    """Return the mean, over those runs that have measured it, of what the largest client needs, by phase."""
    measured = [part(record.summary, "client_memory") or {} for record in records]
    return {
        phase: mean(float(found[phase]["most"]) for found in measured if phase in found)
        for phase in names_of(measured)
    }
