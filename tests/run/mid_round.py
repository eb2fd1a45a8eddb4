"""Something happens in the middle of a round, whatever the method: as a client begins a part of its work.

A part is what a host times: a batch of a client that trains by itself, one of several parts of a step in
lock-step. ``python -m tests.run.mid_round CONFIG ROUND CLIENT PART`` trains on the local engine until then,
and is killed.
"""

import os
import signal
import sys
from collections import Counter
from contextlib import contextmanager

from huscf_flwr.config import load_config
from huscf_flwr.run.local import train_locally
from huscf_flwr.session import HostTimer
from tests.run.builders import SilentDisplay

MIDDLE = {"huscf": 20, "fedgan": 4}
"""A part of a client in the middle of its round, which has eight batches."""


class MidRound:
    """Makes timers that call ``happens`` as ``client`` begins its ``part`` in a round; both from one."""

    def __init__(self, number, client, part, happens):
        self.when, self.happens = (number, client, part), happens
        self.parts = Counter()
        """That each client has begun in each round."""

    def timer(self, number, _):
        return _Timer(lambda client: self._begins(number, client))

    def _begins(self, number, client):
        self.parts[number, client] += 1
        if (number, client, self.parts[number, client]) == self.when:
            self.happens()


class _Timer(HostTimer):
    def __init__(self, begins):
        super().__init__()
        self._begins = begins

    @contextmanager
    def computing(self, client):
        self._begins(client)
        with super().computing(client):
            yield


def _main():
    config, *when = sys.argv[1:]
    killed = MidRound(*map(int, when), lambda: os.kill(os.getpid(), signal.SIGKILL))
    train_locally(load_config(config), display=SilentDisplay(), make_timer=killed.timer, judged=False)


if __name__ == "__main__":
    _main()
