"""The ClientApp: hosts one real client, or some virtual ones.

A SuperNode whose node config has `client-id` and `data-folder` owns that client: its images lie in that
folder in MNIST's file format, its device profile is named by `device-profile` (`FILE:NAME`), and its
optimiser's moments are kept in `state-folder`. A SuperNode without them hosts virtual clients of the
configured scenario, and keeps their moments in the run's folder. `root-certificates` names the file by which
either knows the split executor, usually the one by which `flower-supernode --root-certificates` knows the
SuperLink: a ClientApp is not told of that.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client_apps.owner import Owner, owner_of, root_certificates_of
from huscf_flwr.config import RunConfig, from_run_config
from huscf_flwr.data import LabelledImages, Population
from huscf_flwr.models import ModelSpec
from huscf_flwr.process import prepare_process
from huscf_flwr.split import HostTimer, run_steps
from huscf_flwr.split.wire import GrpcChannel, arrive
from huscf_flwr.training.checkpoint import client_folder
from huscf_flwr.training.cut_choice import deal_devices
from huscf_flwr.training.host_timer import device_timer, host_timer
from huscf_flwr.training.method import model_spec_of, population_of
from huscf_flwr.training.moments import MomentsError, load_moments, owners_folder, save_moments
from huscf_flwr.training.participant import Participant, wire_type_of
from huscf_flwr.training.taken_blocks import TakenBlocks, begin_round
from strategies.log_display import LOGGER
from strategies.messages import (
    DESCRIBE,
    RENDEZVOUS,
    Arrival,
    DescribeRequest,
    Description,
    EvaluateReply,
    EvaluateRequest,
    Invitation,
    TrainReply,
    TrainRequest,
)

_ARRIVE_SECONDS = 120.0

app = ClientApp()


@app.query(RENDEZVOUS.partition(".")[2])
def rendezvous(message: Message, context: Context) -> Message:
    """Find out whether this SuperNode can run beside the others."""
    invitation = Invitation.from_records(message.content)
    owner = owner_of(context)
    roots = root_certificates_of(context)
    admitted = arrive(invitation.address, invitation.token, str(context.node_id), _ARRIVE_SECONDS, roots)
    arrival = Arrival(admitted, owner.client if owner else None)
    return Message(arrival.to_records(), reply_to=message)


@app.query(DESCRIBE.partition(".")[2])
def describe(message: Message, context: Context) -> Message:
    """Tell sample counts and device profiles, and nothing else about the data."""
    config = from_run_config(context.run_config)
    clients = DescribeRequest.from_records(message.content).clients
    owner = owner_of(context)
    devices = {owner.client: owner.device()} if owner else deal_devices(config)
    description = Description(
        {client: len(_images(config, owner, client)) for client in clients},
        {client: devices[client] for client in clients},
    )
    return Message(description.to_records(), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one round in lock-step with all other clients."""
    config = from_run_config(context.run_config)
    request = TrainRequest.from_records(message.content)
    owner = owner_of(context)
    _prepare_process(config, 1 if owner else request.neighbours)
    folder = owners_folder(owner.state_folder, request.training) if owner else client_folder(config.folder)
    # The stream comes first: whatever fails within it, the other hosts learn at once and do not wait.
    claim = request.claim(context.run_id, context.node_id)
    with GrpcChannel(
        request.address,
        request.token,
        claim,
        wire=wire_type_of(config),
        patience=request.answer_seconds,
        roots=root_certificates_of(context),
        share_memory=owner is None and config.executor.shared_memory,
    ) as channel:
        participants = _participants(config, request, owner)
        for participant in participants.values():
            _load_moments(participant, folder, request, owner)
            begin_round(
                participant.split.segments,
                request.blocks.get(request.clusters[participant.split.client]),
                request.taken.get(participant.split.client, TakenBlocks()),
            )
        hosted = [participant.begin_round(request.round) for participant in participants.values()]
        timer = _timer(config, request, owner)
        trained = run_steps(hosted, channel, request.steps, timer)
    for client, drop_out in trained.drop_outs.items():
        LOGGER.warning("client %s dropped out of the round: %s", client, drop_out.reason)
    segments = {client: participants[client].split.segments for client in trained.losses}
    keep_last = config.checkpoint.keep_last
    kept = {
        client: save_moments(
            own, folder, client, request.round, before=request.kept.get(client), keep_last=keep_last
        )
        for client, own in segments.items()
    }
    states = {client: own.states() for client, own in segments.items()}
    times = {client: seconds for client, seconds in timer.times().items() if client in segments}
    reply = TrainReply(request.round, request.attempt, states, trained.losses, times, kept)
    return Message(reply.to_records(), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Judge the cluster's generator on the test data of the client that this SuperNode owns."""
    config = from_run_config(context.run_config)
    request = EvaluateRequest.from_records(message.content)
    owner = owner_of(context)
    if owner is None or owner.client != request.client:
        raise ValueError(f"client {request.client} is not owned by this SuperNode, which cannot judge for it")
    spec = model_spec_of(config)
    scores, samples = owner.judge(config, spec, request.generator)
    return Message(EvaluateReply(request.client, samples, scores).to_records(), reply_to=message)


def _participants(config: RunConfig, request: TrainRequest, owner: Owner | None) -> dict[int, Participant]:
    spec = model_spec_of(config)
    return {
        client: Participant(client, _images(config, owner, client), config, spec, cut)
        for client, cut in request.cuts.items()
    }


def _timer(config: RunConfig, request: TrainRequest, owner: Owner | None) -> HostTimer:
    """Return a timer; a real device is never emulated."""
    if owner is not None:
        return device_timer(config)
    devices = deal_devices(config)
    return host_timer(config, model_spec_of(config), {client: devices[client] for client in request.cuts})


def _images(config: RunConfig, owner: Owner | None, client: int) -> LabelledImages:
    spec = model_spec_of(config)
    return owner.domain(spec).train if owner else _population(config, spec).images_of(client)


@lru_cache(maxsize=1)
def _population(config: RunConfig, spec: ModelSpec) -> Population:
    return population_of(config, spec)


def _load_moments(participant: Participant, folder: Path, request: TrainRequest, owner: Owner | None) -> None:
    """Go on with the moments that belong to the request; a device that has lost them starts anew."""
    client = participant.split.client
    try:
        load_moments(participant.split.segments, folder, client, request.kept.get(client))
    except MomentsError as error:
        if owner is None:
            raise
        LOGGER.warning("%s; they start anew", error)


def _prepare_process(config: RunConfig, neighbours: int) -> None:
    cores = os.cpu_count() or 1
    prepare_process(config.compute, threads=max(1, cores // max(1, neighbours)))
