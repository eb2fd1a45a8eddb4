"""MD-GAN's executor: Algorithm 1 of the paper, server procedure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from huscf_flwr.methods.mdgan.crossing import CROSSING
from huscf_flwr.methods.mdgan.sharing import batches_of
from huscf_flwr.methods.server_generator import GeneratorExecutor, ServerGenerator, summed
from huscf_flwr.session import ExecutorStep


class MDGANExecutor(GeneratorExecutor):
    """Shares out several batches among the clients, and averages their feedback."""

    exchanges: ClassVar = CROSSING.exchanges

    def __init__(
        self, generator: ServerGenerator, number: int, clients: Sequence[int], *, batches: int
    ) -> None:
        """Draw ``batches`` in every step. A client's place, from one, is that among all of the round's."""
        super().__init__(generator, number, clients)
        self._batches = range(1, batches + 1)
        self._of = {client: batches_of(n, batches) for n, client in enumerate(self.clients, start=1)}

    def step(self, number: int) -> ExecutorStep:
        """Serve step ``number``.

        The gradient at a batch is (1/N) times the sum over those who judged it, with N all clients whose
        feedback came. Feedback is the gradient of a mean over the batch; the paper's formula divides by the
        size of the batch once more, which is a constant factor to Adam.
        """
        frames = yield {}
        drawn = {batch: self.fakes(number, batch) for batch in self._batches}
        sent = {batch: fakes.detached() for batch, fakes in drawn.items()}
        answers = {}
        for client in sorted(frames):
            learnt, judged = self._of[client]
            answers[client] = (*sent[learnt], *sent[judged])
        frames = yield answers

        judges = {batch: [k for k in frames if self._of[k][1] == batch] for batch in self._batches}
        self.generator.learn(
            [(drawn[batch], summed(frames, of) / len(frames)) for batch, of in judges.items() if of]
        )
        yield dict.fromkeys(frames, ())
