"""The executor of Federated Split GANs: one batch for all, and the sum of their losses."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.methods.fsgan.crossing import CROSSING
from huscf_flwr.methods.server_generator import GeneratorExecutor, summed
from huscf_flwr.session import ExecutorStep


class FSGANExecutor(GeneratorExecutor):
    """Sends the same fakes to all clients, and steps on the sum of their gradients."""

    exchanges: ClassVar = CROSSING.exchanges

    def step(self, number: int) -> ExecutorStep:
        """Serve step ``number``; the generator's loss is the sum over those whose gradients came."""
        frames = yield {}
        fakes = self.fakes(number)
        frames = yield dict.fromkeys(frames, fakes.detached())
        self.generator.learn([(fakes, summed(frames, frames))] if frames else [])
        yield dict.fromkeys(frames, ())
