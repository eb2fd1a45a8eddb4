"""An environment without what the extras bring: importing any of it fails, as if it were not installed.

A script that is run with ``python_without_extras`` has everything else.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = {
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
    "protobuf": "google",
    "grpcio": "grpc",
    "flwr-datasets": "flwr_datasets",
    "dp-accounting": "dp_accounting",
}
"""What a distribution is called where it is imported, if that is another name."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BROUGHT_ALONG = {"pyarrow": "flwr_datasets", "datasets": "flwr_datasets"}
"""Packages that an extra brings because one of its own does."""
_BLOCKING = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Missing())
"""


def distribution_of(requirement):
    """The name in `pillow>=10.0` or `flwr[simulation]>=1.41`."""
    return requirement.split(">")[0].split("[")[0]


def brought_by(*extras):
    """The packages, as they are imported, that `pip install huscf-flwr[EXTRAS]` names, its own included."""
    found, waiting = set(), [*PROJECT["dependencies"]]
    extras = list(extras)
    while waiting or extras:
        waiting += PROJECT["optional-dependencies"][extras.pop()] if extras else []
        requirement = waiting.pop()
        name = distribution_of(requirement)
        if name == PROJECT["name"]:
            extras += requirement.partition("[")[2].partition("]")[0].split(",")
        else:
            found |= {NAMES.get(name, name)} | (
                {"ray"} if requirement.startswith("flwr[simulation]") else set()
            )
    return found


def python_without_extras(script, *arguments):
    """Run a script where nothing can be imported that only extras bring; return how it ended."""
    missing = brought_by(*PROJECT["optional-dependencies"]) - brought_by() | BROUGHT_ALONG.keys()
    blocking = _BLOCKING.format(names=sorted(missing))
    return subprocess.run(
        [sys.executable, "-c", blocking + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
