"""Say whether this checkout computes the same as an older one, to the bit, on this machine.

    python -m tests.run.compare_versions ../older-checkout

Each version trains the same small runs, in float64 and one thread, in a process of its own. Compared are the
tensors of all checkpoints, clients' private files and generators, and what both say of rounds and clients.

    python -m tests.run.compare_versions --write

trains the runs of ``test_nothing_has_changed`` and writes what it expects: after a change of results that is
intended, or for a new processor.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import mean

import torch
from safetensors.torch import load_file

from tests.run.builders import write_domains
from tests.run.test_nothing_has_changed import (
    EXPECTED,
    KEPT_SINCE,
    OF_ONE_ROUND,
    RUNS,
    results_of,
    train_small,
)

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
COMPARED = {
    "parted bodies": (2, ["huscf.clusters=2"]),
    "shared bodies": (1, ["huscf.clusters=2", "huscf.bodies=shared"]),
    "parity": (2, ["mode=parity"]),
    "fixed cuts": (1, ["cuts.solver=fixed", "cuts.fixed=2,1,1,2"]),
    "changing cuts": (2, ["cuts.dynamic=true", "cuts.newest_weight=1"]),
}
TRAIN = """
import sys
from huscf_flwr.config import load_config
from huscf_flwr.cuts import Beliefs
try:
    from huscf_flwr.run.local import train_locally
except ModuleNotFoundError:  # as it was until the commit 7afb06c
    from huscf_flwr.training.local import train_locally
    sys.argv = [word.replace("huscf.", "method.", 1) for word in sys.argv]

learned = Beliefs.learned

def scripted(self, problem, cuts, times, server_s, *, weight):
    # The clock must not decide about cuts: clients and server are slow in turn.
    slow, server_s = (1.0, 100.0) if self.rounds % 2 else (100.0, 0.1)
    scripted = {k: type(own)(slow if k % 2 else 1.0, 1.0) for k, own in times.items()}
    return learned(self, problem, cuts, scripted, server_s, weight=weight)

Beliefs.learned = scripted
hosts, *settings = sys.argv[1:]
train_locally(load_config("demo", settings), hosts=int(hosts), judged=False)
"""
OF_ROUNDS = ("silhouette", "bodies", "new_cuts")
OF_CLIENTS = ("cluster", "samples", "cut", "losses")
NUMBERS = ("weight", "global_weight", "divergence")


def trained(checkout, hosts, settings):
    """Train in ``checkout``; return tensors by file and name, and values by round and what they are."""
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
            f"{name_of(path)}/{name}": tensor
            for path in sorted(folder.rglob("*.safetensors"))
            for name, tensor in load_file(path).items()
            if name != KEPT_SINCE
        }
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return tensors, {
        (line["round"], what): value for line in lines for what, value in values_of(line).items()
    }


def name_of(path):
    """Return what a file of either version holds; a client's were not always in a folder of its own."""
    if path.parent.name.startswith("client-"):
        return f"{path.parent.name}-{path.stem.rpartition('-')[0]}"
    return path.stem.removeprefix("cluster-")


def values_of(line):
    """Return what a line of ``metrics.jsonl`` of either version says, but for seconds."""
    facts = line.get("facts", line)
    found = {"losses": losses_are_means(line), **{key: facts.get(key) for key in OF_ROUNDS}}
    found |= {("bytes", kind): count for kind, count in bytes_of(line["bytes"]).items()}
    for place, client in enumerate(line["clients"]):
        for key in OF_CLIENTS:
            found[client["id"], key] = client[key]
        for key, in_old_line in zip(NUMBERS, ("weights", "global_weights", "divergences"), strict=True):
            found[client["id"], key] = client[key] if key in client else line[in_old_line][place]
    return found


def losses_are_means(line):
    """Return, by name, whether a round's losses are the means of its clients', which are compared to the bit.

    The older version adds and divides, this one rounds the true mean: they may differ in the last digit.
    """
    return {
        name: math.isclose(loss, mean(client["losses"][name] for client in line["clients"]), rel_tol=1e-14)
        for name, loss in line["losses"].items()
    }


def bytes_of(count):
    """Return bytes by direction, and by kind in both directions; the older version does not tell them apart.

    Nor does it tell moments of blocks that change sides from the blocks.
    """
    if "kinds" in count:
        ways, kinds = {way: count[way] for way in ("up", "down")}, Counter(count["kinds"])
    else:
        ways = {way: sum(kinds.values()) for way, kinds in count.items()}
        kinds = sum(map(Counter, count.values()), Counter())
    kinds["blocks that change sides"] += kinds.pop("moments that change sides", 0)
    return {**ways, **kinds}


def differences(before, now):
    """Return the names of what is not the same in both."""
    names = before.keys() ^ now.keys()
    return [*names, *(name for name in before.keys() & now.keys() if not _same(before[name], now[name]))]


def _same(before, now):
    if isinstance(before, torch.Tensor):
        return before.dtype == now.dtype and torch.equal(before, now)
    return before == now


def compare(older):
    """Compare all runs; return the status to exit with."""
    # The older version, which has no such setting, always does this.
    since = [f"{key}={value}" for key, value in OF_ONE_ROUND.items()]
    found = 0
    for name, (hosts, settings) in COMPARED.items():
        before = trained(older, hosts, settings)
        now = trained(Path.cwd(), hosts, [*settings, *since])
        different = [part for pair in zip(before, now, strict=True) for part in differences(*pair)]
        found += len(different)
        tensors, values = map(len, before)
        print(f"{name}: {tensors} tensors, {values} values, {len(different)} differences")
        print(*(f"  {part}\n" for part in different[:10]), sep="", end="")
    return min(found, 1)


def write_expected(folder):
    """Write anew what ``test_nothing_has_changed`` expects."""
    for name in RUNS:
        with tempfile.TemporaryDirectory() as place:
            images = write_domains(Path(place) / "images")
            results = results_of(train_small(name, images, Path(place)))
        (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write_expected(EXPECTED)
    else:
        sys.exit(compare(Path(sys.argv[1])))
