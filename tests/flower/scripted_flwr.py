"""A SuperLink without Flower: ``flwr`` is a script."""

import sys

from huscf_flwr.flower import superlink
from huscf_flwr.flower.superlink import PrivateSuperLink, flower_environment


def scripted_superlink(place, monkeypatch):
    """A SuperLink whose ``flwr`` prints the content of a file, which may be a command's own.

    It prints ``answer-<command>`` of the folder ``place``, or else ``answer``, and adds to ``asked`` what it
    was asked.
    """
    monkeypatch.setattr(superlink, "BIN", place)
    command = place / "flwr"
    command.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        f"own = pathlib.Path({str(place / 'answer')!r} + '-' + sys.argv[1])\n"
        f"print(sys.argv[1], file=pathlib.Path({str(place / 'asked')!r}).open('a'))\n"
        f"print((own if own.exists() else own.with_name('answer')).read_text())\n"
    )
    command.chmod(0o755)
    return PrivateSuperLink(place, flower_environment(place), "127.0.0.1:1", place / "log")
