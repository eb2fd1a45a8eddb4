"""Methods whose clients come to a halt in mid-round, each at a place of its own, to be killed there.

A client that waits leaves a file in the run's folder, so that nobody has to guess when.
"""

import time

from huscf_flwr.methods.fedgan import FedGAN, FedGANClient
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.methods.huscf.client import HuSCFClient

STEP = 3
"""The step in which client 1 halts, from one."""


def waits(folder, client):
    """Where a client says that it waits."""
    return folder / f"client-{client}-waits"


def wait_to_be_killed(client):
    waits(client.config.folder, client.client).touch()
    while True:
        time.sleep(1.0)


class TroubledHuSCFClient(HuSCFClient):
    """In round 3 client 0 halts before the first step, client 1 in a later one, client 2 after the last."""

    def begin(self, number, order):
        super().begin(number, order)
        self.number, self.steps = number, 0
        if (self.client, number) == (0, 3):
            wait_to_be_killed(self)

    def step(self):
        self.steps += 1
        if (self.client, self.number, self.steps) == (1, 3, STEP):
            wait_to_be_killed(self)
        return super().step()

    def upload(self):
        if (self.client, self.number) == (2, 3):
            wait_to_be_killed(self)
        return super().upload()


class TroubledHuSCF(HuSCF):
    client = TroubledHuSCFClient


class TroubledFedGANClient(FedGANClient):
    """In round 1 client 3 halts after its first batch."""

    def begin(self, number, order):
        super().begin(number, order)
        self.number = number

    def train(self):
        for losses in super().train():
            yield losses
            if (self.client, self.number) == (3, 1):
                wait_to_be_killed(self)


class TroubledFedGAN(FedGAN):
    client = TroubledFedGANClient
