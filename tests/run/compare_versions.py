"""Say whether this checkout computes the same as an older one, to the bit, on this machine.

    python -m tests.run.compare_versions ../older-checkout

Each version trains the same small runs, in float64 and one thread, in a process of its own. Compared are the
tensors of all checkpoints, clients' private files and generators, and what both say of rounds and clients.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.run.builders import write_domains

SETTINGS = [
    "local_epochs=1",
    "batch_size=8",
    "clients=4",
    "model.width=0.05",
    "data.scenario=two-domains-iid",
    "data.domains=digits,letters",
    "compute.threads=1",
    "compute.precision=float64",
    "checkpoint.keep_last=4",
    "rounds=4",
    "evaluation.every=0",
    "evaluation.synthetic_images=0",
]
RUNS = {
    "parted bodies": (2, ["huscf.clusters=2"]),
    "shared bodies": (1, ["huscf.clusters=2", "huscf.bodies=shared"]),
    "parity": (2, ["mode=parity"]),
    "fixed cuts": (1, ["cuts.solver=fixed", "cuts.fixed=2,1,1,2"]),
}
TRAIN = """
import sys
from huscf_flwr.config import load_config
try:
    from huscf_flwr.run.local import train_locally
except ModuleNotFoundError:  # as it was until the commit 7afb06c
    from huscf_flwr.training.local import train_locally
    sys.argv = [word.replace("huscf.", "method.", 1) for word in sys.argv]
hosts, *settings = sys.argv[1:]
train_locally(load_config("demo", settings), hosts=int(hosts), judged=False)
"""


def trained(checkout, hosts, settings):
    """Train in ``checkout``; return the run's tensors, and what is known of its clients by round and id."""
    with tempfile.TemporaryDirectory() as place:
        words = [
            *SETTINGS,
            *settings,
            f"data.root={write_domains(Path(place) / 'images')}",
            f"output={place}",
        ]
        subprocess.run(
            [sys.executable, "-c", TRAIN, str(hosts), *words, "name=small"],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(checkout.resolve())},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        folder = Path(place) / "small"
        tensors = {
            f"{path.stem.removeprefix('cluster-')}/{name}": tensor
            for path in sorted(folder.rglob("*.safetensors"))
            for name, tensor in load_file(path).items()
        }
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    clients = {
        (line["round"], client["id"]): [client[key] for key in ("cluster", "samples", "cut", "losses")]
        for line in lines
        for client in line["clients"]
    }
    return tensors, clients


def differences(before, now):
    """Return the names of what is not the same in both."""
    names = before.keys() ^ now.keys()
    return sorted(names | {name for name in before.keys() & now.keys() if not _same(before[name], now[name])})


def _same(before, now):
    if isinstance(before, torch.Tensor):
        return before.dtype == now.dtype and torch.equal(before, now)
    return before == now


def main(older):
    """Compare all runs; return the status to exit with."""
    found = 0
    for name, (hosts, settings) in RUNS.items():
        before, now = (trained(checkout, hosts, settings) for checkout in (older, Path.cwd()))
        different = [part for pair in zip(before, now, strict=True) for part in differences(*pair)]
        found += len(different)
        print(f"{name}: {len(before[0])} tensors, {len(different)} differences", *different[:10], sep="\n  ")
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
