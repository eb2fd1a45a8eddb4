"""Whatever becomes of the terminal, whoever writes to it goes on."""

import io
import subprocess
import sys

import pytest

from huscf_flwr.run.display import TerminalDisplay
from huscf_flwr.run.terminal import terminal

pytestmark = pytest.mark.slow

SHOW = """
import sys
from huscf_flwr.run.display import TerminalDisplay
with TerminalDisplay() as display:
    for number in range(3000):
        display.note(f"round {number} \u251c\u2500\u2500> caf\u00e9 [bold] " + 100 * "x")
    display.end({"name": "caf\u00e9", "domains": {"\u65e5\u672c": {"fid": 1.0}}})
print("trained", file=sys.stderr)
"""


def shown(output, **environment):
    """Run a process with such a standard output that shows something; it must come to its end."""
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", **environment}
    command = [sys.executable, "-c", SHOW]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, env=environment)


def assert_ended_well(process):
    _, errors = process.communicate()
    assert (process.returncode, errors.decode()) == (0, "trained\n")


def test_somebody_who_stops_reading_ends_nothing():
    process = shown(subprocess.PIPE)
    assert process.stdout.readline().startswith(b"round 0")
    process.stdout.close()
    process.stdout = None
    assert_ended_well(process)


def test_a_terminal_of_ascii_shows_what_it_can(tmp_path):
    with (tmp_path / "out").open("wb") as output:
        assert_ended_well(shown(output, PYTHONIOENCODING="ascii"))
    text = (tmp_path / "out").read_bytes().decode("ascii")
    assert "round 2999 ???> caf? [bold] xxx" in text


def test_an_output_that_cannot_be_written_ends_nothing():
    with open("/dev/full", "wb") as output:  # noqa: PTH123
        assert_ended_well(shown(output))


@pytest.mark.parametrize("text", ["a [bold]path[/bold]", "[/nothing]"])
def test_a_note_is_shown_as_it_is(text, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    TerminalDisplay().note(text)
    assert sys.stdout.getvalue() == f"{text}\n"


def test_it_is_as_wide_as_it_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert terminal(77).width == 77
