"""A4 on a client of HuSCF-GAN: in the round after, the server sends a trap instead of its averages."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.huscf import HuSCFClient
from huscf_flwr.methods.huscf.crossing import SEGMENTS
from huscf_flwr.models import (
    Blocks,
    Shape,
    build_blocks,
    flatten_blocks,
    has_local_discriminator,
    head_indices,
    model_spec_of,
    tail_indices,
    unflatten_blocks,
)
from huscf_flwr.privacy.attacks.closed_form import Reconstruction
from huscf_flwr.privacy.attacks.inversion import invert_head
from huscf_flwr.privacy.attacks.prior import Obscured
from huscf_flwr.privacy.attacks.trap import has_room, spring, trap
from huscf_flwr.privacy.audit import server_view
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import (
    ACTIVE_SERVER,
    NO_ACTIVATIONS,
    Finding,
    NothingHad,
    Reconstructed,
    finding_of_images,
)
from huscf_flwr.privacy.floors import LITTLE_NOISE, floor_of_trap
from huscf_flwr.privacy.scoring import Nearness, guessed_by_mean, nearness
from huscf_flwr.privacy.view import cut_of
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.session import DropOut, Frame, wire_type_of
from huscf_flwr.session.wire_end import WireEnd
from huscf_flwr.split import DISCRIMINATE, EXCHANGES, GENERATE, Batch, Obfuscation

IMAGES = "images of a batch, from a head that copies them"


def trapped(evidence: Evidence, population: Population, shadows: int) -> list[Finding]:  # noqa: ARG001
    """Send each client a trap after the round that was recorded, and see what its next step sends.

    The client is the method's own, with the run's settings: it may find the trap and leave. Frames are
    narrowed as the run's wire narrows them. Clips and noise on activations are met as A1 meets them.
    """
    found = {each.client: _caught(evidence, population, each) for each in evidence.transcripts}
    floor = partial(floor_of_trap, evidence.config.privacy.activation_noise)
    return [finding_of_images("A4", ACTIVE_SERVER, IMAGES, found, "labels", floor)]


def _caught(evidence: Evidence, population: Population, transcript: Transcript) -> Reconstructed | NothingHad:
    """Return what a trap catches of a client.

    In noise it is tried in little noise, too, to see that the search works.
    """
    config = evidence.config
    spec = model_spec_of(config)
    head, shape = _head(evidence, transcript), spec.shapes("discriminator")[0]
    if has_local_discriminator(spec, cut_of(transcript.order)):
        return NothingHad(NO_ACTIVATIONS)
    if not has_room(head, shape):
        return NothingHad(f"a head of {len(head)} blocks has no room for a trap", untried=True)
    number = transcript.round + 1
    member = client_after_round(evidence, population, transcript)
    truth = member.round_batches(number).next()
    seen = first_real_outputs(member, number, _order_with_trap(evidence, transcript, head))
    if isinstance(seen, DropOut):
        return NothingHad(f"the client has found it: {seen.reason}")
    images, guessed = truth.images.float(), guessed_by_mean(member.images.images, truth.images.float())
    obscured = server_view(config, transcript, population.data_of(transcript.client).test).obscured
    works = True
    if obscured is not None and obscured.spreads:
        little = replace(obscured, spreads=LITTLE_NOISE)
        control = caught_by(head, _in_little_noise(head, truth, shape, obscured.clip), shape, little)
        works = _near(control, images).psnr >= floor_of_trap(LITTLE_NOISE, guessed)
    caught = caught_by(head, seen[1].detach().cpu().float(), shape, obscured)
    right = (caught.labels == truth.labels).float().mean().item()
    return Reconstructed(_near(caught, images), guessed, right, works)


def _near(caught: Reconstruction, images: Tensor) -> Nearness:
    return nearness(caught.images.nan_to_num(0.0, 0.0, 0.0), images)


def _in_little_noise(head: Blocks, truth: Batch, shape: Shape, clip: float | None) -> Tensor:
    """Return what a trap would have sent of a batch in little noise, [B, channels, h, w]."""
    with torch.no_grad():
        outputs: Tensor = set_up(head, shape)(truth.images.float(), truth.labels)
    return Obfuscation(clip, LITTLE_NOISE)(outputs)


def caught_by(head: Blocks, seen: Tensor, shape: Shape, obscured: Obscured | None) -> Reconstruction:
    """Return what a trap of the shape of ``head`` has caught; where activations are obscured, by a search."""
    if obscured is None:
        return spring(head, seen, shape)
    return invert_head(set_up(head, shape), seen, shape, obscured=obscured)


def set_up(head: Blocks, shape: Shape) -> Blocks:
    """Return a trap of the shape of ``head``."""
    made = copy.deepcopy(head)
    made.load({("discriminator", index): state for index, state in enumerate(trap(head, shape))})
    return made


def first_real_outputs(member: HuSCFClient, number: int, order: Order) -> Frame | DropOut:
    """Return what arrives of a client's first batch of a round in exchange 2, or why it leaves before."""
    member.begin(number, order)
    step = member.step()
    computed = next(step)
    if computed.leaves is not None:
        return computed.leaves
    spec, cut = member.split.spec, member.split.cut
    shape = spec.shapes("generator")[tail_indices(spec, cut, "generator").start]
    wire = WireEnd(wire_type_of(member.config, number), EXCHANGES, "up")
    # The trap needs no fakes: anything will do.
    (head_output,) = wire.crossed(GENERATE, member.client, computed.frame)
    sent = step.send((head_output.new_zeros(len(head_output), *shape),))
    return wire.crossed(DISCRIMINATE, member.client, sent.frame)


def client_after_round(evidence: Evidence, population: Population, transcript: Transcript) -> HuSCFClient:
    """Return the client as it was when it had sent what it sent at the end of the round."""
    config: RunConfig = evidence.config
    device = evidence.method.clients[transcript.client].device
    kind = type(evidence.method).client
    assert issubclass(kind, HuSCFClient)
    member = kind(transcript.client, population.images_of(transcript.client), device, config)
    member.begin(transcript.round, transcript.order)
    assert transcript.upload is not None
    member.split.segments.load(unflatten_blocks(transcript.upload.tensors[SEGMENTS]))
    member.upload()
    return member


def _head(evidence: Evidence, transcript: Transcript) -> Blocks:
    cut = cut_of(transcript.order)
    return build_blocks(
        model_spec_of(evidence.config), "discriminator", head_indices(cut, "discriminator"), seed=0
    )


def _order_with_trap(evidence: Evidence, transcript: Transcript, head: Blocks) -> Order:
    """Return an order with what the client has uploaded, but for the discriminator's head."""
    assert transcript.upload is not None
    blocks = dict(unflatten_blocks(transcript.upload.tensors[SEGMENTS]))
    shape = model_spec_of(evidence.config).shapes("discriminator")[0]
    blocks |= {("discriminator", index): state for index, state in enumerate(trap(head, shape))}
    return replace(transcript.order, tensors={SEGMENTS: flatten_blocks(blocks)})
