"""What an attacker who has the server's place knows after a round, whatever the method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population
from huscf_flwr.methods.contract import Description, LockStepClient, Method, State, Upload
from huscf_flwr.models import BlockStates
from huscf_flwr.privacy.finding import Finding
from huscf_flwr.run.transcript import Transcript


@dataclass(frozen=True)
class Evidence:
    """A round as a server sees it that follows the protocol and is curious."""

    config: RunConfig
    method: Method
    """The server's half as it is when the round is closed: all that it knows."""
    before: State
    """The state of that half when the round began."""
    transcripts: Sequence[Transcript]
    """What crossed of the clients that are attacked; they took part to the end."""
    uploads: Mapping[int, Upload] = field(default_factory=dict)
    """What all clients sent that took part to the end, by client id, where it was kept."""
    weights: Mapping[int, float] = field(default_factory=dict)
    """How much each of them counts in the average that it is in, where the method tells."""

    @property
    def clients(self) -> tuple[int, ...]:
        """Those that are attacked."""
        return tuple(each.client for each in self.transcripts)

    def steps(self, client: int) -> int:
        """Return how many batches a client trains on in the round."""
        in_lock_step = issubclass(self.method.client, LockStepClient)
        who = list(self.method.clients) if in_lock_step else [client]
        return self.method.steps(self.transcripts[0].round, who)

    def steps_so_far(self, client: int) -> int:
        """Return how many batches a client has trained on since the beginning, if it was in every round."""
        return self.transcripts[0].round * self.steps(client)


Attack = Callable[[Evidence, Population, int], Sequence[Finding]]
"""Attacks with the evidence alone, and compares with the truth, which the population has.

The last argument is how many shadow models may be trained.
"""

ModelOf = Callable[[Evidence, Transcript], BlockStates | None]
"""Returns a client's discriminator as the server knows it after the round; None if it does not."""


@dataclass
class Caught:
    """Makes the server's half of a method as a run does, and keeps it for whoever looks at the run later."""

    method_type: type[Method]
    rounds: int | None = None
    """The run's rounds, where they are not to be those of the configuration."""
    made: Method | None = None

    def __call__(self, config: RunConfig, clients: Mapping[int, Description]) -> Method:
        """Make it."""
        made = self.method_type
        if self.rounds is not None:
            rounds = self.rounds
            made = type(made.__name__, (made,), {"rounds": classmethod(lambda _, __: rounds)})
        self.made = made(config, clients)
        return self.made
