"""A made-up run folder: what a finished simulation of four to many clients and two domains leaves behind."""

import json
import math
from pathlib import Path

import torch
import yaml

from huscf_flwr.evaluation.figures import sample_grid
from huscf_flwr.split.exchange import Exchange

DOMAINS = ("digits", "letters")
DEVICES = {"d1": [1, 1, 1, 1], "d5": [1, 1, 2, 1], "d6": [2, 2, 2, 1], "d7": [2, 2, 2, 2]}


def domain_scores(progress, cluster, *, final):
    scores = {
        "cluster": cluster,
        "label_fidelity": 0.1 + (0.88 - 0.02 * cluster) * progress,
        "generation_score": 1 + 8.7 * progress,
        "fid": 90 * (1 - progress) + 6.5,
    }
    known = ("accuracy", "precision", "recall", "f1")
    synthetic = {f"tstr_{name}": 0.93 - 0.01 * place for place, name in enumerate(known)}
    return scores | (synthetic | {"tstr_fpr": 0.0078} if final else {})


def round_record(number, *, rounds=10, clients=8, scores=True):
    progress = 1 - math.exp(-3 * number / rounds)
    cluster_of = [client * 2 // clients if number > 1 else 0 for client in range(clients)]
    samples = [180 - 15 * (client % 4) for client in range(clients)]
    together = [sum(n for n, c in zip(samples, cluster_of, strict=True) if c == own) for own in cluster_of]
    return {
        "round": number,
        "seconds": 12.5 + 0.3 * number,
        "steps": 60,
        "losses": {"discriminator": 1.39 - 0.3 * progress, "generator": 0.69 + 0.8 * progress},
        "clusters": cluster_of,
        "silhouette": 0.3 + 0.4 * progress if number > 1 else None,
        "ari": 1.0 if number > 1 else 0.0,
        "weights": [
            n / total * (1.1 if client % 2 else 0.9)
            for client, (n, total) in enumerate(zip(samples, together, strict=True))
        ],
        "global_weights": [n / sum(samples) for n in samples],
        "divergences": [0.02 * (client % 4) for client in range(clients)],
        "bytes": {"up": 410_000_000, "down": 420_000_000, "kinds": traffic_kinds()},
        "clients": [
            {
                "id": c,
                "cluster": cluster_of[c],
                "losses": {"discriminator": 1.2, "generator": 0.9},
                "samples": n,
            }
            for c, n in enumerate(samples)
        ],
        "domains": {
            name: domain_scores(progress, cluster if number > 1 else 0, final=number == rounds)
            for cluster, name in enumerate(DOMAINS)
        }
        if scores
        else {},
    }


def traffic_kinds():
    names = {kind.name for exchange in Exchange for kind in (*exchange.up, *exchange.down)}
    return {"segments": 24_000_000} | {name: 91_000_000 // (1 + i) for i, name in enumerate(sorted(names))}


def summary(rounds, clients):
    last = round_record(rounds, rounds=rounds, clients=clients)
    members = {str(c): [i for i, own in enumerate(last["clusters"]) if own == c] for c in (0, 1)}
    return {
        "name": "demo",
        "mode": "corrected",
        "seed": 0,
        "rounds": rounds,
        "seconds": 151.4,
        "bytes": {"up": 410_000_000 * rounds, "down": 420_000_000 * rounds},
        "clusters": {"count": 2, "ari": 1.0, "members": members},
        "domains": last["domains"],
    }


def cuts(clients):
    kinds = list(DEVICES.items())
    return {
        "solver": "greedy",
        "latency_s": 2.41,
        "clients": [
            {"id": client, "device": kinds[client % 4][0], "cut": kinds[client % 4][1]}
            for client in range(clients)
        ],
    }


def config(clients):
    return {
        "name": "demo",
        "mode": "corrected",
        "clients": clients,
        "resume": None,
        "model": {"spec": "authors-28", "width": 0.25},
        "data": {"scenario": "demo", "domains": list(DOMAINS)},
    }


def write_metrics(folder: Path, records) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def write_run(folder: Path, *, rounds=10, clients=8, pictured=(1, 10)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config(clients), sort_keys=False))
    (folder / "cuts.json").write_text(json.dumps(cuts(clients)))
    write_metrics(folder, [round_record(n, rounds=rounds, clients=clients) for n in range(1, rounds + 1)])
    (folder / "summary.json").write_text(json.dumps(summary(rounds, clients)))
    for number in pictured:
        for cluster in (0, 1):
            images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(number)) * 2 - 1
            path = folder / "samples" / f"round-{number:03d}-cluster-{cluster}.png"
            sample_grid(path, images, 2, ["0", "1"])
    return folder
