"""A4 by gradients alone, on a client of HuSCF-GAN: the server follows the protocol but for some gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from huscf_flwr.data import LabelledImages, Population, normalise
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.methods.huscf.crossing import SEGMENTS
from huscf_flwr.models import (
    build_blocks,
    has_local_discriminator,
    head_indices,
    model_spec_of,
    unflatten_blocks,
)
from huscf_flwr.privacy.active_server import client_after_round
from huscf_flwr.privacy.attacks.hijack import Hijack
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import (
    NO_ACTIVATIONS,
    STEERING_SERVER,
    Finding,
    NothingHad,
    Reconstructed,
    finding_of_images,
)
from huscf_flwr.privacy.scoring import guessed_by_mean, nearness
from huscf_flwr.privacy.view import cut_of
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.session import (
    Exchange,
    ExecutorStep,
    Frame,
    Kind,
    Ledger,
    LocalChannel,
    LockStep,
    SessionError,
    run_step,
    wire_type_of,
)
from huscf_flwr.split import SplitExecutor
from huscf_flwr.split.exchanges import DISCRIMINATE, DISCRIMINATOR_BACKWARD

STEPS = 120
"""In which a client is steered; it is the server that says how many a round has."""
_WIDER = 2.5
"""Than the honest gradient, in its place: less is lost beside those of fakes, more shows by its width."""
_SHARE = 0.25
"""Of the honest gradient's width, added to it: so little that a client that looks does not notice it."""
_SCORED = 10
"""Last batches, whose images are compared with the true ones."""
_IMAGES = "images of batches, once gradients {} have steered the discriminator's head"

Steer = Callable[[Tensor, Tensor], Tensor]
"""Returns the gradient to send for outputs of real images [B, channels, h, w], given the honest one."""

Way = Callable[[Tensor, Tensor], Tensor]
"""Returns the gradient to send, given one that steers and the honest one."""


class SteeringServer:
    """The server's half as it is, but that one client is sent other gradients for its real images."""

    def __init__(self, honest: SplitExecutor, client: int, steer: Steer) -> None:
        self._honest, self._client, self._steer = honest, client, steer
        self.exchanges: tuple[Exchange, ...] = honest.exchanges
        self.dtype: torch.dtype = honest.dtype
        self.seen = torch.zeros(0)
        """What the client has sent of the last batch's images, [B, channels, h, w]."""

    @property
    def clients(self) -> Collection[int]:
        """The clients that have a cut."""
        return self._honest.clients

    def shape(self, kind: Kind, client: int) -> tuple[int, ...]:
        """Return the shape of one sample of ``kind`` for ``client``."""
        return self._honest.shape(kind, client)

    def step(self, number: int) -> ExecutorStep:
        """Serve step ``number``, with the client's gradients replaced."""
        served = self._honest.step(number)
        frames = yield next(served)
        for exchange in self.exchanges:
            answers = dict(served.send(frames))
            if exchange == DISCRIMINATE and self._client in frames:
                self.seen = frames[self._client][1].detach().float().cpu()
            if exchange == DISCRIMINATOR_BACKWARD and self._client in answers:
                answers[self._client] = self._replaced(answers[self._client])
            frames = yield answers
        yield from served

    def _replaced(self, frame: Frame) -> Frame:
        of_fakes, of_reals = frame
        sent = self._steer(self.seen, of_reals.float().cpu())
        return of_fakes, sent.to(of_reals.device, of_reals.dtype)


def replaced_by(width: float) -> Way:
    """Return the way of the hijack's gradient alone, of so many times the honest one's width."""
    return lambda found, honest: width * _as_wide(found, honest)


def adding(share: float) -> Way:
    """Return the way of the honest gradient and the hijack's, of such a share of the honest one's width."""
    return lambda found, honest: honest + share * _as_wide(found, honest)


WAYS: Mapping[str, Way] = {
    "in the place of honest ones": replaced_by(_WIDER),
    "added to honest ones": adding(_SHARE),
}
"""Ways that are tried, by what they do with honest gradients."""


def steered(
    evidence: Evidence,
    population: Population,
    shadows: int,  # noqa: ARG001
    *,
    ways: Mapping[str, Way] = WAYS,
) -> list[Finding]:
    """Steer each client after the round that was recorded, and draw the images of its last batches.

    It is tried in each of several ``ways``. Test images of its domain are the public ones. The client is the
    method's own, with the run's settings: it may find it odd and leave.
    """
    return [_finding(evidence, population, _IMAGES.format(how), way) for how, way in ways.items()]


def _finding(evidence: Evidence, population: Population, learns: str, way: Way) -> Finding:
    found = {each.client: steer(evidence, population, each, way) for each in evidence.transcripts}
    return finding_of_images("A4-gradients", STEERING_SERVER, learns, found, "unsteered")


def steer(
    evidence: Evidence, population: Population, transcript: Transcript, way: Way
) -> Reconstructed | NothingHad:
    """Return what comes of steering a client, or in which step it leaves, and why.

    The detail is what the same decoder makes of the client's images before it is steered.
    """
    config, number = evidence.config, transcript.round + 1
    if has_local_discriminator(model_spec_of(config), cut_of(transcript.order)):
        return NothingHad(NO_ACTIVATIONS)
    member = client_after_round(evidence, population, transcript)
    member.begin(number, _own_blocks(transcript))
    hijack = _prepared(evidence, population.data_of(transcript.client).test, transcript)
    server = SteeringServer(
        _bodies(evidence, transcript),
        transcript.client,
        lambda outputs, honest: way(hijack.gradient(outputs), honest),
    )
    session = LockStep(
        server, [[transcript.client]], ledger=Ledger(), steps=STEPS, wire=wire_type_of(config, number)
    )
    channel = LocalChannel(session)
    batches = member.round_batches(number)
    drawn: list[Tensor] = []
    truth: list[Tensor] = []
    for step in range(1, STEPS + 1):
        try:
            run_step([member], channel)
        except SessionError:
            if transcript.client not in session.dropped:
                raise
            why = session.dropped[transcript.client].reason
            return NothingHad(f"the client leaves in step {step}: {why}")
        drawn.append(hijack.images(server.seen))
        truth.append(batches.next().images.float())
    last = torch.cat(truth[-_SCORED:])
    return Reconstructed(
        nearness(torch.cat(drawn[-_SCORED:]), last),
        guessed_by_mean(member.images.images, last),
        nearness(drawn[0], truth[0]).psnr,
    )


def _as_wide(found: Tensor, honest: Tensor) -> Tensor:
    scale: Tensor = torch.linalg.vector_norm(honest) / torch.linalg.vector_norm(found)
    return found * scale


def _prepared(evidence: Evidence, public: LabelledImages, transcript: Transcript) -> Hijack:
    """Return a hijack whose pilot begins with the client's weights, and whose critic is like the rest."""
    config = evidence.config
    spec, head = model_spec_of(config), head_indices(cut_of(transcript.order), "discriminator")
    rest = range(len(head), len(spec.discriminator.blocks))
    pilot = build_blocks(spec, "discriminator", head, seed=config.seed)
    assert transcript.upload is not None
    pilot.load(unflatten_blocks(transcript.upload.tensors[SEGMENTS]))
    critic = build_blocks(spec, "discriminator", rest, seed=config.seed, owner="critic")
    hijack = Hijack(pilot, critic, normalise(public.images), public.labels, seed=config.seed)
    hijack.prepare(config.batch_size)
    return hijack


def _bodies(evidence: Evidence, transcript: Transcript) -> SplitExecutor:
    """Return the server's bodies as they are after the round, to serve this client alone."""
    assert isinstance(evidence.method, HuSCF)
    bodies = copy.deepcopy(evidence.method.bodies)
    bodies.cuts = {transcript.client: cut_of(transcript.order)}
    bodies.observe = lambda _: None
    return bodies


def _own_blocks(transcript: Transcript) -> Order:
    """Return an order with what the client has uploaded: no average, which the server is free to say."""
    assert transcript.upload is not None
    return replace(transcript.order, tensors={SEGMENTS: transcript.upload.tensors[SEGMENTS]})
