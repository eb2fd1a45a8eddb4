"""A comparison of two methods on two scenarios, and made-up kept runs of it."""

import json

import yaml
from PIL import Image

from huscf_flwr.comparison.kept import ORIGIN, PICTURES, KeptRuns, write_origin
from huscf_flwr.comparison.plan import plan_comparison
from huscf_flwr.run.origin import origin_of

CONTENT = {
    "description": "Two methods & two scenarios.",
    "seeds": [0, 1, 4],
    "common": {"rounds": 2, "local_epochs": 1, "batch_size": 16, "clients": 4, "model": {"width": 0.03}},
    "scenarios": {
        "both": {"data": {"scenario": "demo"}},
        "one": {"data": {"scenario": "demo", "domains": ["digits"]}},
    },
    "methods": {
        "parted": {"method": "huscf"},
        "averaged": {"method": "fedgan", "optimiser": {"learning_rate": 0.001}},
    },
}


def plan_of(folder, content=None, *, overrides=(), name="small"):
    """Write a comparison's file, and plan it with its run folders beside it."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content or CONTENT, sort_keys=False))
    return plan_comparison(str(path), overrides=overrides, output=folder / "runs")


def lines_of(clients=4, rounds=2, up=1000, fidelity=0.5, ari=None, domains=("digits", "letters")):
    return [
        {
            "round": number,
            "seconds": 3.0,
            "steps": 10,
            "losses": {"discriminator": 1.2},
            "bytes": {"up": {"networks": up * clients}, "down": {"networks": 2 * up * clients}},
            "clients": [
                {"id": client, "samples": 20, "bytes": {"up": up, "down": 2 * up}}
                for client in range(clients)
            ],
            "domains": {name: {"product": "global", "label_fidelity": fidelity / 2} for name in domains},
            "scores": {} if ari is None else {"ari": ari},
        }
        for number in range(1, rounds + 1)
    ]


def write_run(
    folder,
    run,
    *,
    fidelity=0.5,
    ari=None,
    up=1000,
    domains=("digits", "letters"),
    own=None,
    memory=None,
    judge=None,
):
    """Write what a finished run leaves behind, without training.

    ``own`` is by images the accuracy of classifiers that stay on their clients, mean and worst; ``memory`` by
    phase the bytes of the client that needs most; ``judge`` the accuracy of each domain's judge.
    """
    folder.mkdir(parents=True)
    lines = lines_of(up=up, fidelity=fidelity, ari=ari, domains=domains)
    scores = {"product": "global", "label_fidelity": fidelity, "tstr_accuracy": fidelity - 0.1, "fid": 10.0}
    if judge is not None:
        scores["judge_accuracy"] = judge
    summary = {
        "name": run.config.name,
        "method": run.config.method,
        "seconds": 6.0,
        "clusters": None if ari is None else {"count": 2, "ari": ari},
        "domains": dict.fromkeys(domains, scores),
    }
    if own is not None:
        spreads = {on: {"accuracy": {"mean": m, "worst": w}} for on, (m, w) in own.items()}
        summary["own_models"] = spreads
        line = json.dumps({"round": 2, "thorough": True, "scores": spreads})
        (folder / "evaluations.jsonl").write_text(f"{line}\n")
    if memory is not None:
        summary["client_memory"] = {phase: {"mean": most / 2, "most": most} for phase, most in memory.items()}
    clients = {"clients": [{"id": client, "samples": 20, "device": "d1"} for client in range(4)]}
    (folder / "clients.json").write_text(json.dumps(clients))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.yaml").write_text(yaml.safe_dump(run.config.model_dump(mode="json")))
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / PICTURES).mkdir()
    for name in domains:
        Image.new("L", (280, 56), 128).save(folder / PICTURES / f"{name}.png")
    write_origin(folder / ORIGIN, origin_of(run.config))


def kept_runs(folder, plan, **by_column):
    """Keep made-up runs of all seeds; ``by_column`` has the arguments of ``write_run`` by column and seed."""
    kept = KeptRuns(folder / "results" / plan.name)
    for run in plan.runs:
        values = by_column.get(run.column, {}).get(run.seed)
        if values is not None:
            domains = ("digits",) if run.scenario == "one" else ("digits", "letters")
            write_run(run.config.folder, run, domains=domains, **values)
            kept.keep(run)
    return kept
