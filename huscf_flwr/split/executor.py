"""The split executor: the server's half of a step.

``SplitExecutor.step`` mirrors ``SplitClient.step``: six times it is sent the frames of all clients and
yields what goes back to each. It holds the bodies of both networks and their optimisers, and sees nothing
of a client but activations, gradients and batch sizes. Where clients keep the discriminator, it has the
generator's bodies only, and two exchanges.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from huscf_flwr.models import (
    CPU,
    NETWORKS,
    BlockStates,
    Cut,
    ModelSpec,
    NetworkName,
    Shape,
    body_block_keys,
    check_cut,
    has_local_discriminator,
)
from huscf_flwr.seeding import PathPart
from huscf_flwr.session import Exchange, ExecutorStep, Frame, Frames, Kind
from huscf_flwr.split.body import BodyPass, joined, run_body
from huscf_flwr.split.exchanges import EXCHANGES, LOCAL_EXCHANGES, shape_of
from huscf_flwr.split.segments import AdamSettings, Segments

SHARED = 0
"""Name of the group of all clients."""

Observer = Callable[[int, Tensor], Any]
"""Called with a client id and the discriminator's middle activations [B, *shape] of its real images."""


class SplitExecutor:
    """The bodies of both networks, their optimisers, and the cut of every client."""

    def __init__(
        self,
        spec: ModelSpec,
        cuts: Mapping[int, Cut],
        *,
        seed: int,
        owner: PathPart = "common",
        adam: AdamSettings | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ) -> None:
        """Build the bodies on ``device``, weights drawn from the stream of ``owner``.

        Raises ``ValueError`` if the network does not allow one of the cuts, or if some keep the whole
        discriminator and some do not.
        """
        for cut in cuts.values():
            check_cut(spec, cut)
        self._local = _all_or_none(spec, cuts)
        self.exchanges: tuple[Exchange, ...] = LOCAL_EXCHANGES if self._local else EXCHANGES
        """Of a step."""
        self.spec = spec
        self.cuts = dict(cuts)
        self.dtype = dtype
        keys = body_block_keys(spec, local_discriminator=self._local)
        shared = Segments(spec, keys, seed=seed, owner=owner, adam=adam, dtype=dtype, device=device)
        self._device = device
        self.bodies: dict[int, Segments] = {SHARED: shared}
        """By the name of the group of clients that it is for."""
        self.common: Segments | None = None
        """What clients without a group run once bodies have parted: see ``keep_common``."""
        self._groups: dict[int, int] = {}
        self.observe: Callable[[int], Observer | None] = lambda _: None
        """Gives the observer of a step, by its number."""
        self._shapes: dict[tuple[Cut, Kind], Shape] = {}

    @property
    def clients(self) -> Collection[int]:
        """The clients that have a cut."""
        return self.cuts.keys()

    def shape(self, kind: Kind, client: int) -> Shape:
        """Return the shape of one sample of ``kind`` for ``client``."""
        cut = self.cuts[client]
        found = self._shapes.get((cut, kind))
        if found is None:
            found = self._shapes[cut, kind] = shape_of(kind, self.spec, cut)
        return found

    @property
    def segments(self) -> Segments:
        """The bodies, as long as all clients share them; raises ``ValueError`` once they have parted."""
        (shared,) = self.bodies.values()
        return shared

    @property
    def parted(self) -> bool:
        """Whether groups of clients have bodies of their own."""
        return bool(self._groups)

    @property
    def common_body(self) -> Segments:
        """The bodies that clients without a group run; raises ``ValueError`` if none are kept for them."""
        if not self.parted:
            return self.segments
        if self.common is None:
            raise ValueError("bodies have parted, and none are kept for clients without a group")
        return self.common

    def body_of(self, client: int) -> Segments:
        """Return the bodies that run for ``client``."""
        return self.bodies[self._groups[client]] if client in self._groups else self.common_body

    def part(self, groups: Mapping[int, int]) -> None:
        """From now on run bodies of its own for each group of clients, all of them copies of the shared ones.

        ``groups`` names the group of every client that has one. Once bodies have parted, it only says anew
        who is in which group.
        """
        if not self.parted:
            shared = self.segments
            self.bodies = {name: copy.deepcopy(shared) for name in sorted(set(groups.values()))}
        self._groups = dict(groups)

    def restore(self, groups: Mapping[int, int]) -> None:
        """Have the bodies that a saved state has, parted by its ``groups`` or, without any, shared by all.

        Their weights and moments are still to be loaded: those of a group that had no bodies are any other's.
        """
        some = next(iter(self.bodies.values()))
        names = sorted(set(groups.values())) or [SHARED]
        self.bodies = {name: self.bodies.get(name) or copy.deepcopy(some) for name in names}
        self._groups = dict(groups)

    def keep_common(self, states: BlockStates | None = None) -> None:
        """Keep bodies for clients without a group: the shared ones as they are now, or with ``states``.

        They are never trained, and normalise by their running statistics. So what they see of a client
        depends neither on when it comes nor on who comes with it.
        """
        kept = copy.deepcopy(next(iter(self.bodies.values())))
        kept.forget_moments()
        for network in NETWORKS:
            kept.network(network).blocks.eval().requires_grad_(False)
        if states is not None:
            kept.load(states)
        self.common = kept

    def step(self, number: int) -> ExecutorStep:
        """Serve step ``number``: in each exchange receive the frames of all clients and yield theirs to each.

        A client whose frames end within the step has dropped out: what it sent stays, and gradients that it
        did not send count as zero.
        """
        frames = yield {}

        generator_pass = self._run("generator", self._tensors(frames))
        frames = yield _frames(generator_pass.outputs)

        if not self._local:
            frames = yield from self._discriminate(frames, self.observe(number))

        gradients = generator_pass.backward(self._tensors(frames))
        self._apply_gradients("generator")
        yield _frames(gradients)

    def _discriminate(self, frames: Frames, observe: Observer | None) -> Generator[Frames, Frames, Frames]:
        """Serve the discriminator's four exchanges, from the first's ``frames``; return the next ones."""
        fake_pass = self._run("discriminator", self._tensors(frames, 0))
        real_pass = self._run("discriminator", self._tensors(frames, 1))
        if observe is not None:
            for client, activations in real_pass.middle.items():
                observe(client, activations)
        frames = yield _frames(fake_pass.outputs, real_pass.outputs)

        fake_gradients = fake_pass.backward(self._tensors(frames, 0))
        real_gradients = real_pass.backward(self._tensors(frames, 1))
        self._apply_gradients("discriminator")
        frames = yield _frames(fake_gradients, real_gradients)

        with self._frozen("discriminator"):
            fake_pass = self._run("discriminator", self._tensors(frames))
        frames = yield _frames(fake_pass.outputs)

        return (yield _frames(fake_pass.backward(self._tensors(frames))))

    def _run(self, network: NetworkName, inputs: Mapping[int, Tensor]) -> BodyPass:
        """Run the bodies of ``network``, each for its own clients."""
        passes = []
        for body in self._running():
            own = {client: tensor for client, tensor in inputs.items() if self.body_of(client) is body}
            passes.append(run_body(body.network(network).blocks, self.spec, self.cuts, own))
        return joined(passes)

    def _running(self) -> list[Segments]:
        """Return all bodies that clients may run."""
        kept = [self.common] if self.parted and self.common is not None else []
        return [*self.bodies.values(), *kept]

    def _apply_gradients(self, network: NetworkName) -> None:
        for body in self.bodies.values():
            body.network(network).apply_gradients()

    @contextmanager
    def _frozen(self, network: NetworkName) -> Iterator[None]:
        with ExitStack() as all_of_them:
            for body in self.bodies.values():
                all_of_them.enter_context(body.network(network).frozen())
            yield

    def _tensors(self, frames: Frames, position: int = 0) -> dict[int, Tensor]:
        return {client: frame[position].to(self._device) for client, frame in frames.items()}


def _all_or_none(spec: ModelSpec, cuts: Mapping[int, Cut]) -> bool:
    """Return whether the discriminators are local; raises ``ValueError`` if some are and some are not."""
    local = [client for client, cut in cuts.items() if has_local_discriminator(spec, cut)]
    if local and len(local) < len(cuts):
        raise ValueError(
            f"clients {local} keep the whole discriminator, and {sorted(cuts.keys() - set(local))} do not: "
            "all clients of a session must, or none"
        )
    return bool(local)


def _frames(*tensors: Mapping[int, Tensor]) -> dict[int, Frame]:
    return {
        client: tuple(by_client[client].detach() for by_client in tensors) for client in sorted(tensors[0])
    }
