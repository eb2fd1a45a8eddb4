"""False alarms of ``privacy.detect_tampering`` in honest rounds of the demo, and what was measured.

``python -m tests.privacy.false_alarms_table FILE`` prints the table, and writes its values to ``FILE`` as it
goes. A row has runs of ``huscf run demo --engine local`` with ``SETTINGS`` and its own, which are not judged.
Rows that ``FILE`` has are not trained again. All rows have 15,000 steps of a client.
"""

import json
import math
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median_high
from unittest.mock import patch

import torch
from torch import Tensor

from huscf_flwr.config import load_config
from huscf_flwr.models import BlockStates
from huscf_flwr.run.display import NoDisplay
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.session import Frame
from huscf_flwr.split import tampering
from huscf_flwr.split.exchanges import CRITICISM_BACKWARD, DISCRIMINATOR_BACKWARD

SETTINGS = (
    *("privacy.detect_tampering=true", "local_epochs=2", "compute.threads=1"),
    *("evaluation.every=0", "evaluation.synthetic_images=0"),
)
RUNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "`rounds=3`": (("rounds=3",),),
    "`rounds=3`, `seed=1`": (("rounds=3", "seed=1"),),
    "`rounds=3`, `wire.preset=small`": (("rounds=3", "wire.preset=small"),),
    "`rounds=3`, `wire.preset=smallest`": (("rounds=3", "wire.preset=smallest"),),
    "`rounds=3`, `cuts.dynamic=true`, `cuts.least_gain=0`": (
        ("rounds=3", "cuts.dynamic=true", "cuts.least_gain=0"),
    ),
    "`rounds=4`, `fraction_train=0.5`": (("rounds=4", "fraction_train=0.5"),),
    "`rounds=4`, `huscf.plain_rounds=2`, `huscf.clusters_in_plain_rounds=false`": (
        ("rounds=4", "huscf.plain_rounds=2", "huscf.clusters_in_plain_rounds=false"),
    ),
    "`rounds=4`, `mode=parity`": (("rounds=4", "mode=parity"),),
    "`rounds=3`, `seed=10` to `seed=22`": tuple(("rounds=3", f"seed={seed}") for seed in range(10, 23)),
}
"""The runs of each row of the table, by what it is called."""


@dataclass
class Row:
    """What clients have looked at, and the largest of what is bounded."""

    client_rounds: int = 0
    compared: int = 0
    """Client-rounds in which blocks were compared."""
    steps: int = 0
    odd_steps: int = 0
    most_odd_in_a_round: int = 0
    """Of one client."""
    alarms: int = 0
    """Client-rounds that a client has left."""
    block: float = 0.0
    """Distance from what was uploaded, in what the client's own rounds moved the block."""
    images: float = 0.0
    """Change of the cosine between a real image's gradient and the mean of the fakes', half of a batch's."""
    recent: float = 0.0
    """Change of the cosine between mean gradients, the median of ``RECENT_STEPS``."""
    fakes: float = 0.0
    """Change of the cosine between both gradients of the same fakes."""
    least_widened: float = math.inf
    """How much more gradients of real images, or of fakes judged again, are widened than those of fakes."""
    most_widened: float = 0.0

    def told(self, name: str) -> str:
        """Return the row as docs/privacy.md has it."""
        counts = f"{self.client_rounds}, {self.compared} | {self.steps} | {self.odd_steps} | {self.alarms}"
        return f"| {name} | {counts} | {self.block:.2f} | {self.images:.2f} | {self.recent:.2f} |"


def widened(sent: Tensor, received: Tensor) -> float:
    """Return how many times as long a gradient came back."""
    return float(received.float().norm() / sent.float().norm())


def cosine(first: Tensor, second: Tensor) -> float:
    """Return the cosine between two gradients, of whatever shape."""
    return float(torch.cosine_similarity(first.float().flatten(), second.float().flatten(), dim=0))


def towards_mean(fakes: Tensor, reals: Tensor) -> float:
    """Return the median cosine of the gradients of real images with the mean of the fakes', [B, ...] each."""
    mean = fakes.float().flatten(1).mean(0, keepdim=True)
    return float(torch.cosine_similarity(reals.float().flatten(1), mean).median())


def measured(row: Row) -> tuple[type[tampering.BlockCheck], type[tampering.GradientCheck]]:
    """Return the detector's two checks as they are, but for noting in ``row`` what they look at."""

    class Blocks(tampering.BlockCheck):
        def begin(self, number: int, states: BlockStates) -> str | None:
            found = super().begin(number, states)
            row.client_rounds += 1
            both = self._began.keys() & self._uploaded.keys()
            row.compared += bool(both)
            for key in both:
                distance = torch.dist(self._began[key], self._uploaded[key]).item()
                row.block = max(row.block, distance / self._moved[key] / (number - self._round))
            return found

    class Gradients(tampering.GradientCheck):
        def __init__(self) -> None:
            super().__init__()
            self._odd_in_the_round = 0

        def _oddity(self, sent: list[Frame], received: list[Frame]) -> str | None:
            found = super()._oddity(sent, received)
            row.steps += 1
            row.odd_steps += found is not None
            self._odd_in_the_round += found is not None
            row.most_odd_in_a_round = max(row.most_odd_in_a_round, self._odd_in_the_round)
            first, again = (each.number - 1 for each in (DISCRIMINATOR_BACKWARD, CRITICISM_BACKWARD))
            self._note((*sent[first], *sent[again]), (*received[first], *received[again]))
            return found

        def _note(self, sent: Frame, received: Frame) -> None:
            row.images = max(row.images, abs(towards_mean(*received[:2]) - towards_mean(*sent[:2])))
            turned = abs(cosine(received[0], received[2]) - cosine(sent[0], sent[2]))
            row.fakes = max(row.fakes, turned)
            if not all(each.any() for each in (*sent, *received)):
                return
            of_fakes, *others = (widened(*pair) for pair in zip(sent, received, strict=True))
            row.least_widened = min(row.least_widened, *(each / of_fakes for each in others))
            row.most_widened = max(row.most_widened, *(each / of_fakes for each in others))

        def _turned_for_long(self) -> str | None:
            if len(self._apart) == tampering.RECENT_STEPS:
                row.recent = max(row.recent, median_high(self._apart))
            return super()._turned_for_long()

    return Blocks, Gradients


def row_of(runs: Iterable[Sequence[str]]) -> Row:
    """Train all ``runs``; return what their clients have looked at."""
    row = Row()
    blocks, gradients = measured(row)
    for settings in runs:
        with (
            tempfile.TemporaryDirectory() as folder,
            patch.object(tampering, "BlockCheck", blocks),
            patch.object(tampering, "GradientCheck", gradients),
        ):
            config = load_config("demo", [*SETTINGS, *settings, f"output={folder}"])
            train_locally(config, display=NoDisplay(), judged=False)
            row.alarms += sum(len(line.get("drop_outs", ())) for line in read_metrics(config.folder))
    return row


def main(file: Path) -> None:
    """Print all rows; those that ``file`` lacks are trained, and written to it one by one."""
    kept = json.loads(file.read_text())["rows"] if file.exists() else {}
    for name, runs in RUNS.items():
        row = Row(**kept[name]) if name in kept else row_of(runs)
        kept[name] = asdict(row)
        file.write_text(json.dumps({"settings": SETTINGS, "rows": kept}, indent=1) + "\n")
        print(row.told(name), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
