"""Rounds whose clients' activations are drawn around one map a domain, and whose blocks are their numbers."""

import torch

from huscf_flwr.federation import ActivationAccumulator

KEY = ("generator", 0)
TWO_DOMAINS = [0, 0, 0, 0, 1, 1, 1, 1]


def observed(batch):
    accumulator = ActivationAccumulator()
    accumulator.observe(batch)
    return accumulator.statistics()


def statistics_of(domains, seed=0, skew=0.2):
    """Activations [3, 4, 4] of 60 samples around a map per domain; ``skew`` is each client's deviation."""
    stream = torch.Generator().manual_seed(seed)

    def draw(*samples):
        return torch.randn(*samples, 3, 4, 4, generator=stream, dtype=torch.float64)

    maps = {domain: draw() for domain in sorted(set(domains))}
    return {
        client: observed(maps[domain] + skew * draw() + draw(60)) for client, domain in enumerate(domains)
    }


def blocks_of(clients):
    return {client: {KEY: {"w": torch.tensor([float(client)]).double()}} for client in range(clients)}


def after_round(
    averaging, round_number, domains, *, samples=None, previous=None, seed=0, statistics=None, **given
):
    return averaging.after_round(
        round_number,
        statistics=statistics or statistics_of(domains, seed),
        samples=samples or dict.fromkeys(range(len(domains)), 100),
        previous_clusters=previous or {},
        client_blocks=blocks_of(len(domains)),
        bodies={0: {}},
        seed=seed,
        **given,
    )
