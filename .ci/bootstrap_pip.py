"""Put pip into a virtual environment that was made without it.

Debian and Ubuntu leave ``ensurepip`` out of Python unless python3-venv is installed. A wheel can be run in
place, so pip's own wheel from PyPI installs itself.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

PYPI = "https://pypi.org/pypi/pip/json"


def main() -> None:
    """Download pip's newest wheel and let it install itself."""
    with urllib.request.urlopen(PYPI) as answer:
        files = json.load(answer)["urls"]
    wheel = next(file for file in files if file["packagetype"] == "bdist_wheel")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / wheel["filename"]
        with urllib.request.urlopen(wheel["url"]) as answer:
            path.write_bytes(answer.read())
        subprocess.run([sys.executable, f"{path}/pip", "install", "--no-index", str(path)], check=True)


if __name__ == "__main__":
    main()
