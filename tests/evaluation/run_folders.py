"""Made-up run folders: what finished simulations of four to many clients and two domains leave behind.

One is of ``huscf``, with clusters, cuts and exchanges; the other of ``fedgan``, with one product and none of
them.
"""

import json
import math
from pathlib import Path

import torch
import yaml

from huscf_flwr.evaluation.figures import sample_grid

DOMAINS = ("digits", "letters")
DEVICES = {"d1": [1, 1, 1, 1], "d5": [1, 1, 2, 1], "d6": [2, 2, 2, 1], "d7": [2, 2, 2, 2]}
BLOCKS = {"generator": {"count": 5, "middle": 2}, "discriminator": {"count": 5, "middle": 2}}
KINDS = {
    "up": {"segments": 12_000_000, "generator head output": 180_000_000, "fake head output": 218_000_000},
    "down": {"segments": 12_000_000, "generator tail input": 300_000_000, "fake tail input": 108_000_000},
}


def domain_scores(progress, product, *, final):
    scores = {
        "product": product,
        "label_fidelity": 0.1 + 0.88 * progress,
        "generation_score": 1 + 8.7 * progress,
        "fid": 90 * (1 - progress) + 6.5,
    }
    known = ("accuracy", "precision", "recall", "f1")
    synthetic = {f"tstr_{name}": 0.93 - 0.01 * place for place, name in enumerate(known)}
    return scores | (synthetic | {"tstr_fpr": 0.0078} if final else {})


def clusters_of(number, clients):
    return [client * 2 // clients if number > 1 else 0 for client in range(clients)]


def client_record(client, cluster, clusters, samples):
    together = sum(n for n, own in zip(samples, clusters, strict=True) if own == cluster)
    return {
        "id": client,
        "samples": samples[client],
        "losses": {"discriminator": 1.2, "generator": 0.9},
        "step_seconds": {"compute_s": 0.1, "transfer_s": 0.02},
        "bytes": {"up": 1_000_000 * (client + 1), "down": 2_000_000 * (client + 1)},
        "cluster": cluster,
        "weight": samples[client] / together * (1.1 if client % 2 else 0.9),
        "global_weight": samples[client] / sum(samples),
        "divergence": 0.02 * (client % 4),
        "cut": list(DEVICES.values())[client % 4],
    }


def round_record(number, *, rounds=10, clients=8):
    """A round of ``huscf``."""
    progress = 1 - math.exp(-3 * number / rounds)
    clusters = clusters_of(number, clients)
    samples = [180 - 15 * (client % 4) for client in range(clients)]
    return {
        "round": number,
        "seconds": 12.5 + 0.3 * number,
        "steps": 60,
        "hosts": 2,
        "step_seconds": {"median": 0.2, "least": 0.1, "most": 0.4},
        "server_step_seconds": 0.05,
        "losses": {"discriminator": 1.39 - 0.3 * progress, "generator": 0.69 + 0.8 * progress},
        "bytes": {direction: dict(kinds) for direction, kinds in KINDS.items()},
        "facts": {"silhouette": 0.3 + 0.4 * progress if number > 1 else None, "bodies": 1 + (number > 2)},
        "scores": {"ari": 1.0 if number > 1 else 0.0},
        "domains": {
            name: domain_scores(progress, f"cluster-{place if number > 1 else 0}", final=number == rounds)
            for place, name in enumerate(DOMAINS)
        },
        "clients": [client_record(k, own, clusters, samples) for k, own in enumerate(clusters)],
        "drop_outs": [],
    }


def fedgan_round_record(number, *, rounds=10, clients=8):
    """A round of ``fedgan``: messages only, one product, nothing said of single clients."""
    whole = round_record(number, rounds=rounds, clients=clients)
    kept = ("id", "samples", "losses", "bytes")
    return {
        **{name: whole[name] for name in ("round", "seconds", "steps", "hosts", "losses", "drop_outs")},
        "step_seconds": None,
        "server_step_seconds": None,
        "bytes": {"up": {"networks": 40_000_000}, "down": {"networks": 40_000_000}},
        "facts": {},
        "domains": {name: scores | {"product": "global"} for name, scores in whole["domains"].items()},
        "clients": [{name: client[name] for name in kept} for client in whole["clients"]],
    }


def totals(record, rounds):
    return {direction: rounds * sum(kinds.values()) for direction, kinds in record["bytes"].items()}


def summary(rounds, clients):
    last = round_record(rounds, rounds=rounds, clients=clients)
    clusters = clusters_of(2, clients)
    return {
        "name": "demo",
        "method": "huscf",
        "mode": "corrected",
        "seed": 0,
        "rounds": rounds,
        "seconds": 151.4,
        "bytes": totals(last, rounds),
        "products": {
            f"cluster-{number}": {"clients": [k for k, own in enumerate(clusters) if own == number]}
            for number in (0, 1)
        },
        "clusters": {"count": 2, "ari": 1.0},
        "domains": last["domains"],
    }


def fedgan_summary(rounds, clients):
    last = fedgan_round_record(rounds, rounds=rounds, clients=clients)
    return summary(rounds, clients) | {
        "method": "fedgan",
        "bytes": totals(last, rounds),
        "products": {"global": {"clients": list(range(clients))}},
        "clusters": None,
        "domains": last["domains"],
    }


def descriptions(clients):
    names = list(DEVICES)
    return {
        "clients": [
            {"id": client, "samples": 180 - 15 * (client % 4), "device": names[client % 4]}
            for client in range(clients)
        ]
    }


def cuts(clients):
    kinds = list(DEVICES.items())
    return {
        "solver": "greedy",
        "latency_s": 2.41,
        "gap": None,
        "blocks": BLOCKS,
        "clients": [
            {"id": client, "device": kinds[client % 4][0], "cut": kinds[client % 4][1]}
            for client in range(clients)
        ],
    }


def config(clients, method="huscf"):
    return {
        "name": "demo",
        "method": method,
        "mode": "corrected",
        "clients": clients,
        "resume": None,
        "model": {"spec": "authors-28", "width": 0.25},
        "data": {"scenario": "demo", "domains": list(DOMAINS)},
        "cuts": {"solver": "greedy"},
        "executor": {"window": 25.0},
    }


def write_metrics(folder: Path, records) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def write_samples(folder: Path, rounds, products) -> None:
    for number in rounds:
        for product in products:
            images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(number)) * 2 - 1
            path = folder / "samples" / f"round-{number:03d}-{product}.png"
            sample_grid(path, images, 2, ["0", "1"])


def write_run(folder: Path, *, rounds=10, clients=8, pictured=(1, 10)) -> Path:
    """Write the folder of a run of ``huscf``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config(clients), sort_keys=False))
    (folder / "clients.json").write_text(json.dumps(descriptions(clients)))
    (folder / "cuts.json").write_text(json.dumps(cuts(clients)))
    write_metrics(folder, [round_record(n, rounds=rounds, clients=clients) for n in range(1, rounds + 1)])
    (folder / "summary.json").write_text(json.dumps(summary(rounds, clients)))
    write_samples(folder, pictured, ("cluster-0", "cluster-1"))
    return folder


def write_fedgan_run(folder: Path, *, rounds=10, clients=8, pictured=(1, 10)) -> Path:
    """Write the folder of a run of ``fedgan``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config(clients, "fedgan"), sort_keys=False))
    (folder / "clients.json").write_text(json.dumps(descriptions(clients)))
    records = [fedgan_round_record(n, rounds=rounds, clients=clients) for n in range(1, rounds + 1)]
    write_metrics(folder, records)
    (folder / "summary.json").write_text(json.dumps(fedgan_summary(rounds, clients)))
    write_samples(folder, pictured, ("global",))
    return folder
