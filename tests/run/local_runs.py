"""Runs on the local engine, apart from the builders: devices import those, without what reports need."""

from huscf_flwr.run.local import train_locally
from tests.run.builders import SilentDisplay


def train(config, **arguments):
    """The summary of a run on the local engine, and the display that was told of it."""
    display = SilentDisplay()
    return train_locally(config, display=display, **arguments), display
