"""The cut of every client: as it is, as it was in the round before, and as it will be."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutSolver, Device, Reselection
from huscf_flwr.methods.contract import Collected, Tensors
from huscf_flwr.methods.huscf.crossing import TAKEN_BLOCKS, TAKEN_MOMENTS
from huscf_flwr.methods.huscf.cut_choice import CutReselection, choose_cuts
from huscf_flwr.models import (
    NETWORKS,
    BlockKey,
    Cut,
    ModelSpec,
    body_block_keys,
    client_block_keys,
    flatten_blocks,
    largest_cut,
)
from huscf_flwr.seeding import derive_seed
from huscf_flwr.split import Segments


class CutPlan:
    """Which blocks every client keeps, and why.

    Attributes:
        now: cuts of the round that is next or under way, by client id.
        before: cuts with which each client trained last; what a client keeps now and did not then, it takes
            over from the server.
        of_last_round: cuts of the round that ended last, of clients that dropped out of it too.
        solution: what the solver chose, with the predicted seconds of a step of a round's clients.
    """

    def __init__(
        self, config: RunConfig, spec: ModelSpec, devices: Mapping[int, Device], solver: CutSolver | None
    ) -> None:
        """Choose the first cuts; raises ``ValueError`` if a device's limits leave it none."""
        self._config = config
        self._spec = spec
        self._devices = devices
        self._reselection = CutReselection(config, spec, devices, solver) if config.cuts.dynamic else None
        self.solution = choose_cuts(config, spec, devices, solver)
        self.now: dict[int, Cut] = dict(zip(sorted(devices), self.solution.cuts, strict=True))
        self.before: dict[int, Cut] = dict(self.now)
        self.of_last_round: dict[int, Cut] = dict(self.now)

    @property
    def largest(self) -> Cut:
        """The cut that leaves least to the server."""
        return largest_cut(self._spec, local_discriminator=self._config.privacy.local_discriminator)

    @property
    def shared_blocks(self) -> frozenset[BlockKey]:
        """Blocks that clients keep and that are common to all clusters nevertheless, as bodies are.

        Those of a local discriminator that the server would run for somebody if it were split.
        """
        local = self._config.privacy.local_discriminator
        on_server = body_block_keys(self._spec, local_discriminator=local)
        return frozenset(body_block_keys(self._spec)).difference(on_server)

    def kept_blocks(self, client: int) -> set[BlockKey]:
        """Return the blocks that a client keeps now and kept before."""
        now, before = (client_block_keys(self._spec, cuts[client]) for cuts in (self.now, self.before))
        return set(now) & set(before)

    def taken_blocks(self, client: int) -> set[BlockKey]:
        """Return the blocks that a client keeps now and did not before."""
        return set(client_block_keys(self._spec, self.now[client])) - self.kept_blocks(client)

    def taken_tensors(self, client: int, body: Segments) -> dict[str, Tensors]:
        """Return what a client takes over if its cut has grown: it goes on with what ``body`` ran for it.

        A block that a client gives up needs nothing: its weights went into the server's copy when the round
        was averaged, and its moments stay behind. A block that the server never trained has no moments.
        """
        keys = self.taken_blocks(client)
        if not keys:
            return {}
        states = {key: state for key, state in body.states().items() if key in keys}
        prefixes = tuple(f"{network}.{index}." for network, index in keys)
        moments = {name: value for name, value in body.moments().items() if name.startswith(prefixes)}
        return {TAKEN_BLOCKS: flatten_blocks(states), **({TAKEN_MOMENTS: moments} if moments else {})}

    def trained(self, clients: Collection[int]) -> None:
        """Take note that these clients have trained with their cuts; others have taken over nothing yet."""
        self.before |= {client: self.now[client] for client in clients}
        self.of_last_round = dict(self.now)

    def reselect(self, number: int, steps_left: int, collected: Collected) -> Reselection | None:
        """Learn from the times of round ``number``, and change the cuts for the next one if that pays."""
        if self._reselection is None:
            return None
        self._reselection.learn(self.now, collected.step_times, collected.executor_s)
        seed = derive_seed(self._config.seed, "cuts", number) % 2**32
        better = self._reselection.better(self.now, steps_left, seed)
        if better is not None:
            self.solution = better.solution
            self.now = dict(zip(sorted(self.now), better.solution.cuts, strict=True))
        return better

    def document(self) -> dict[str, Any]:
        """Return who has which device and cut, and the seconds that the model predicts for a step."""
        devices = self._reselection.beliefs.devices if self._reselection else self._devices
        blocks = {
            name: {"count": len(network.blocks), "middle": network.middle_index}
            for name, network in ((name, self._spec.network(name)) for name in NETWORKS)
        }
        clients = [
            {"id": client, "device": devices[client].name, "cut": list(cut)}
            for client, cut in sorted(self.now.items())
        ]
        solution = self.solution
        return {
            "solver": solution.solver,
            "latency_s": solution.latency_s,
            "gap": solution.gap,
            "blocks": blocks,
            "clients": clients,
        }

    def state(self) -> dict[str, Any]:
        """Return the cuts, what was predicted of them, and what is believed of the devices, as JSON."""
        solution = self.solution
        return {
            "cuts": {str(client): list(cut) for client, cut in self.now.items()},
            "cuts_before": {str(client): list(cut) for client, cut in self.before.items()},
            "cuts_of_last_round": {str(client): list(cut) for client, cut in self.of_last_round.items()},
            "solution": {"solver": solution.solver, "latency_s": solution.latency_s, "gap": solution.gap},
            "beliefs": self._reselection.state() if self._reselection else None,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``; raises ``ValueError`` if it belongs to other clients or fixed cuts."""
        now = _cuts(state["cuts"])
        if now.keys() != self.now.keys():
            raise ValueError(f"belongs to other clients: {_ids(now)}; this run has {_ids(self.now)}")
        moved = [client for client, cut in self.now.items() if cut != now[client]]
        if moved and self._reselection is None:
            raise ValueError(
                f"has other cuts for clients {_ids(moved)}: their device profiles or the solver have changed"
            )
        self.now, self.before = now, _cuts(state["cuts_before"])
        self.of_last_round = _cuts(state["cuts_of_last_round"])
        if self._reselection is not None:
            self._reselection.load_state(state["beliefs"])
            self.solution = self._reselection.solution_of(now)
        self.solution = replace(self.solution, **state["solution"])


def _cuts(state: Mapping[str, Any]) -> dict[int, Cut]:
    return {int(client): Cut(*cut) for client, cut in state.items()}


def _ids(clients: Collection[int]) -> str:
    return ", ".join(map(str, sorted(clients)))
