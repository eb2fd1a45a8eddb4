"""A client's check of what the server sends it: blocks that moved too far, and gradients that are odd.

It compares with what the client knows without the server. Averages of clients that trained alike lie about as
far from what a client uploaded as its own training took it in a round. And a body that goes back through
what it has just computed is a linear map of the gradients that it is sent: it widens those of real images and
of fakes alike, and keeps the angle between the two gradients of the same fakes, judged first as fakes and
then as real. And what makes an image look real makes it look less of a fake: the gradient of a real image
points against those of fakes, when it comes back as when it was sent. A server that sends gradients of
another aim does not keep to that by itself.

The bounds were chosen on short runs of the demo, whose honest values are beside them (docs/privacy.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from statistics import median_high
from typing import get_args

import torch
from torch import Tensor

from huscf_flwr.models import BlockKey, BlockStates, NetworkName
from huscf_flwr.session import ClientStep, Computed, DropOut, Frame
from huscf_flwr.split.exchanges import (
    CRITICISM_BACKWARD,
    DISCRIMINATOR_BACKWARD,
    EXCHANGES,
    GENERATOR_BACKWARD,
)

MOST_MOVED = 3.0
"""Distance of a block from what was uploaded, in what the client's own last round moved it, for each round
since in which it refused nothing. The blocks of an honest demo are below 1."""
MOST_WIDENED = 3.0
"""How much more gradients of real images, or of fakes judged again, are widened than those of fakes, or less:
between 0.73 and 1.8 times as much in honest rounds of the demo."""
MOST_TURNED = 0.4
"""How far the cosine between both gradients of the same fakes may change; at most 0.16 in honest
rounds of the demo, in 3 or 4 bits."""
MOST_APART = 0.6
"""How far the cosine between a real image's gradient and the mean of the fakes' may change, the
median: by 0.51 at most in honest rounds of the demo, by about 1 where somebody steers."""
MOST_APART_FOR_LONG = 0.15
"""The same of the mean gradient of the real images, the median of ``RECENT_STEPS``: by 0.10 at most in honest
rounds of the demo, by 0.12 in one of a test, and by more where half as much is added to honest gradients."""
MOST_DRIFTED = 10.0
"""How much more than in the round so far the generator's gradients are widened, or less: in four rounds of an
honest demo it is between 1.1 and 3.2 times, in all of them."""
_LEAST = 1e-12
"""Length of a gradient below which an honest body's arithmetic may well make it zero."""
_WHAT = ("fakes", "real images", "fakes judged again")
ODD_STEPS = 8
"""Of the last ``RECENT_STEPS``, before a client leaves. A client has one at most in an honest round of the
demo, and three in one of ``mode: parity``."""
RECENT_STEPS = 25

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_ROUND, _UPLOADED, _MOVED = ("tampering.round", "tampering.uploaded", "tampering.moved")
REFUSED = "tampering.refused"
"""Rounds [N] that the client has refused; its host adds it to what the client keeps."""


class BlockCheck:
    """What a client remembers of the blocks that it uploaded, to know those that are not averages of them."""

    def __init__(self) -> None:
        self._round = 0
        self._refused: frozenset[int] = frozenset()
        self._began: dict[BlockKey, Tensor] = {}
        self._uploaded: dict[BlockKey, Tensor] = {}
        self._moved: dict[BlockKey, float] = {}

    def begin(self, number: int, states: BlockStates) -> str | None:
        """Return what is wrong with the blocks that round ``number`` begins with, if anything is.

        Only blocks are compared that the client uploaded last time. Rounds that it refused allow for nothing:
        else a server would only have to send the same blocks until the bound has grown.
        """
        self._began = {key: _weights(state) for key, state in states.items()}
        refused = sum(self._round < each < number for each in self._refused)
        rounds = max(1, number - self._round - refused)
        for key in sorted(self._began.keys() & self._uploaded.keys()):
            distance = torch.dist(self._began[key], self._uploaded[key]).item()
            limit = MOST_MOVED * rounds * self._moved[key]
            if not distance <= limit:
                return (
                    f"block {key[1]} of the {key[0]} is {distance:.3g} away from what it uploaded in round "
                    f"{self._round}, where {limit:.3g} is the most that honest training explains"
                )
        return None

    def end(self, number: int, states: BlockStates) -> None:
        """Remember what is uploaded in round ``number``, and how far the round has moved it."""
        self._round = number
        self._uploaded = {key: _weights(state) for key, state in states.items()}
        self._moved = {key: torch.dist(self._uploaded[key], self._began[key]).item() for key in self._began}

    def tensors(self) -> dict[str, Tensor]:
        """Return what must be remembered until the next round; nothing before the first has ended."""
        if not self._uploaded:
            return {}
        kept = {_ROUND: torch.tensor(self._round)}
        for key, weights in self._uploaded.items():
            name = f"{key[0]}.{key[1]}"
            kept[f"{_UPLOADED}.{name}"] = weights
            kept[f"{_MOVED}.{name}"] = torch.tensor(self._moved[key], dtype=torch.float64)
        return kept

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with what ``tensors`` returned; others are left alone."""
        if _ROUND not in tensors:
            return
        self._round = int(tensors[_ROUND])
        self._refused = frozenset(tensors[REFUSED].tolist()) if REFUSED in tensors else frozenset()
        self._uploaded = {key: tensors[name] for key, name in _keys_of(_UPLOADED, tensors)}
        self._moved = {key: float(tensors[name]) for key, name in _keys_of(_MOVED, tensors)}


class GradientCheck:
    """Looks at the gradients of one client's steps in a round."""

    def __init__(self) -> None:
        self._odd: deque[bool] = deque(maxlen=RECENT_STEPS)
        self._apart: deque[float] = deque(maxlen=RECENT_STEPS)
        self._drifts: list[float] = []

    def looked_at(self, step: ClientStep) -> Generator[Computed, Frame, str | None]:
        """Go through ``step``; return what is wrong with the gradients of this and earlier steps, if any is.

        The client is to leave then: nothing that the step computes later is sent.
        """
        sent: list[Frame] = []
        received: list[Frame] = []
        computed: Computed | None = next(step)
        while computed is not None:
            sent.append(computed.frame)
            received.append((yield computed))
            try:
                computed = step.send(received[-1])
            except StopIteration:
                computed = None
        found = self._oddity(sent, received)
        self._odd.append(found is not None)
        if found is not None and sum(self._odd) >= ODD_STEPS:
            return f"{found}, and {sum(self._odd)} of the last {len(self._odd)} steps were odd"
        return self._turned_for_long()

    def _oddity(self, sent: list[Frame], received: list[Frame]) -> str | None:
        """Return what is odd about the gradients of a whole step, in which a local discriminator has none."""
        found = None
        if len(sent) == len(EXCHANGES):
            first, again = (each.number - 1 for each in (DISCRIMINATOR_BACKWARD, CRITICISM_BACKWARD))
            found = discriminator_oddity((*sent[first], *sent[again]), (*received[first], *received[again]))
            if all(each.any() for each in (*sent[first], *received[first])):
                self._apart.append(abs(_of_means(*received[first]) - _of_means(*sent[first])))
        assert GENERATOR_BACKWARD.number == len(EXCHANGES)
        return found or self._drift(sent[-1][0], received[-1][0])

    def _turned_for_long(self) -> str | None:
        """Return whether something small has turned gradients of real images in most of the last steps."""
        if len(self._apart) < RECENT_STEPS or (usual := median_high(self._apart)) <= MOST_APART_FOR_LONG:
            return None
        means = "the cosine of mean gradients of real images and of fakes"
        return f"{means} came back changed by {usual:.2f}, the median of {RECENT_STEPS} steps"

    def _drift(self, sent: Tensor, received: Tensor) -> str | None:
        """Return whether the generator's body widens gradients as it did in the round so far."""
        widened = _widened(sent, received)
        if widened is None:
            return None
        if widened == 0:
            return "the generator's gradients came back as zero"
        usual = median_high(self._drifts or [widened])
        if not 1 / MOST_DRIFTED <= widened / usual <= MOST_DRIFTED:
            return f"the generator's gradients were {widened / usual:.2g} times as wide as before"
        self._drifts.append(widened)
        return None


def discriminator_oddity(sent: Frame, received: Frame) -> str | None:
    """Return what is odd about the gradients that came back from the discriminator's body, if anything is.

    Both have three: of fakes, of real images, and of the same fakes judged again, [B, ...] each. Where one is
    sent as zero nothing is said; one that becomes zero would let a head stay where the server knows it.
    """
    widened = [_widened(*pair) for pair in zip(sent, received, strict=True)]
    for what, each in zip(_WHAT, widened, strict=True):
        if each == 0:
            return f"gradients of {what} came back as zero"
    if widened[0] is None:
        return None
    for what, each in zip(_WHAT[1:], widened[1:], strict=True):
        if each is not None and not 1 / MOST_WIDENED <= each / widened[0] <= MOST_WIDENED:
            return f"gradients of {what} came back {each / widened[0]:.2g} times as wide as those of fakes"
    return _turned(sent, received, reals=widened[1] is not None, again=widened[2] is not None)


def _turned(sent: Frame, received: Frame, *, reals: bool, again: bool) -> str | None:
    """Return which gradients came back at another angle to those of fakes, if ``reals`` or ``again`` are."""
    if reals:
        apart = abs(_towards_mean(*received[:2]) - _towards_mean(*sent[:2]))
        if not apart <= MOST_APART:
            return f"the cosine of gradients of real images and of fakes came back changed by {apart:.2f}"
    if again:
        turned = abs(_cosine(received[0], received[2]) - _cosine(sent[0], sent[2]))
        if not turned <= MOST_TURNED:
            return f"the cosine of both gradients of the same fakes came back changed by {turned:.2f}"
    return None


class TamperingDetector:
    """One client's checks; what they find is told when the client leaves in its next step."""

    def __init__(self) -> None:
        self.blocks = BlockCheck()
        self._gradients = GradientCheck()
        self.found: str | None = None
        """What is odd of this round so far."""
        self._number, self._alone = 0, False

    def begin(self, number: int, states: BlockStates, *, alone: bool = False) -> None:
        """Begin round ``number`` with these blocks; ``alone`` if their weights were drawn for this client.

        No average is near weights of a client's own, so that the next round is not compared with these.
        """
        self._number, self._alone = number, alone
        self._gradients = GradientCheck()
        self.found = self.blocks.begin(number, states)

    def end(self, states: BlockStates) -> None:
        """End the round with the blocks that are uploaded."""
        if not self._alone:
            self.blocks.end(self._number, states)

    def guarded(self, step: ClientStep) -> ClientStep:
        """Return ``step`` as the client takes it: it leaves before it sends anything if there is a reason."""
        if self.found is not None:
            reason = (
                f"{self.found} (privacy.detect_tampering); it leaves, since the server may be after its "
                "images"
            )
            yield Computed((), leaves=DropOut(reason))
            return
        self.found = yield from self._gradients.looked_at(step)


def _weights(state: Mapping[str, Tensor]) -> Tensor:
    """Return all weights of a block in a row, [N]; statistics of batches are none."""
    names = sorted(name for name in state if not name.endswith(_STATISTICS))
    return torch.cat([state[name].detach().cpu().float().flatten() for name in names])


def _keys_of(prefix: str, tensors: Mapping[str, Tensor]) -> list[tuple[BlockKey, str]]:
    """Return the blocks that ``tensors`` has something of, with the names that begin with ``prefix``."""
    return [
        ((network, int(name.removeprefix(f"{prefix}.{network}."))), name)
        for network in get_args(NetworkName)
        for name in tensors
        if name.startswith(f"{prefix}.{network}.")
    ]


def _widened(sent: Tensor, received: Tensor) -> float | None:
    """Return how many times as long a gradient came back; None if there was next to none."""
    before, after = (torch.linalg.vector_norm(each.float()).item() for each in (sent, received))
    return after / before if before > _LEAST else None


def _cosine(first: Tensor, second: Tensor) -> float:
    found = torch.nn.functional.cosine_similarity(first.float().flatten(), second.float().flatten(), dim=0)
    return found.item()


def _towards_mean(fakes: Tensor, reals: Tensor) -> float:
    """Return the cosine between a real image's gradient and the mean of the fakes', the median of all."""
    mean = fakes.float().flatten(1).mean(0, keepdim=True)
    return torch.nn.functional.cosine_similarity(reals.float().flatten(1), mean).median().item()


def _of_means(fakes: Tensor, reals: Tensor) -> float:
    return _cosine(*(each.float().mean(0) for each in (fakes, reals)))
