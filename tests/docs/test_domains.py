"""docs/domains.md says of clusters what the kept runs have found."""

import json
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
_FIRST_OF_A_RUN = re.compile(r"\| `(?P<scenario>[\w-]+)`, `(?P<column>\w+)`, \d+ \|.*\| (?P<shown>\S+) \|")


def test_the_table_has_the_index_of_every_kept_run_and_none_of_one_domain():
    """Of one domain the index says nothing, whatever a run that was made before that was known has kept."""
    rows = [
        match
        for line in (DOCS / "domains.md").read_text().splitlines()
        if (match := _FIRST_OF_A_RUN.match(line))
    ]
    assert len(rows) > 3
    for row in rows:
        run = DOCS / "results" / "domains" / row["scenario"] / f"{row['column']}-seed-0"
        summary = json.loads((run / "summary.json").read_text())
        found = f"{summary['clusters']['ari']:.2f}" if len(summary["domains"]) > 1 else "—"
        assert row["shown"] == found, row["scenario"]
