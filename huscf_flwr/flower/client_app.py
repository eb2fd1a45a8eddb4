"""The ClientApp, whatever the method: hosts one real client, or some virtual ones.

A SuperNode whose node config has `client-id` and `data-folder` owns that client: its images lie in that
folder or file, in any format that `huscf_flwr.data.formats` knows; `class-names` and `first-label` say how
labels are counted where the files do not, `image-column` and `label-column` where a data set of Hugging Face
has the images and labels, if it has several candidates, and `architecture` which member of a family of
classifiers it has. Its device profile is named by `device-profile` (`FILE:NAME`), and what it keeps between
rounds, such as its optimisers' moments, lies in `state-folder`. A SuperNode without them hosts virtual
clients of the configured scenario, and keeps theirs in the run's folder. `root-certificates` names the file
by which either knows the split executor, usually the one by which `flower-supernode --root-certificates`
knows the SuperLink: a ClientApp is not told of that. Without the settings of privacy that `require-privacy`
names, the SuperNode takes no part in a run: it does not join, and refuses whatever message comes anyway.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import lru_cache

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from huscf_flwr.config import RunConfig, from_run_config
from huscf_flwr.cuts.devices import Device, deal_devices
from huscf_flwr.data import ClientData, Population, following_data
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.evaluation.domain_scores import Judged
from huscf_flwr.evaluation.own_models import GENERATED
from huscf_flwr.evaluation.scores import DivergedError
from huscf_flwr.extras import MissingExtraError
from huscf_flwr.flower.log_display import LOGGER, SHOWN
from huscf_flwr.flower.messages import (
    DESCRIBE,
    JOIN,
    Arrival,
    DescribeReply,
    DescribeRequest,
    EvaluateReply,
    EvaluateRequest,
    Invitation,
    TrainReply,
    TrainRequest,
    claim_of,
)
from huscf_flwr.flower.own_files import own_files_told
from huscf_flwr.flower.owner import Owner, owner_of, root_certificates_of
from huscf_flwr.flower.required_privacy import check_required_privacy
from huscf_flwr.flower.told_lines import tell_launcher
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Client
from huscf_flwr.process import prepare_process
from huscf_flwr.run.check import as_begun, population_for
from huscf_flwr.run.checkpoint import client_folder, images_of_training, settings_of
from huscf_flwr.run.client_files import OtherImagesError, owners_folder
from huscf_flwr.run.host import Host
from huscf_flwr.run.host_timer import device_timer, host_timer
from huscf_flwr.run.mistakes import mistakes_told
from huscf_flwr.run.origin import images_hash
from huscf_flwr.session import Channel, DropOut, HostTimer, wire_type_of
from huscf_flwr.session.wire import GrpcChannel, arrive

_ARRIVE_SECONDS = 120.0

app = ClientApp()


@app.query(JOIN.partition(".")[2])
def join(message: Message, context: Context) -> Message:
    """Say which client this SuperNode owns, if any, and whether it can run beside the others."""
    invitation = Invitation.from_records(message.content)
    invitation.check()
    owner = owner_of(context)
    check_required_privacy(context, from_run_config(context.run_config))
    admitted = True
    if invitation.address is not None and invitation.token is not None:
        roots = root_certificates_of(context)
        admitted = arrive(invitation.address, invitation.token, str(context.node_id), _ARRIVE_SECONDS, roots)
    arrival = Arrival(admitted=admitted, client=owner.client if owner else None)
    return Message(arrival.to_records(), reply_to=message)


@app.query(DESCRIBE.partition(".")[2])
def describe(message: Message, context: Context) -> Message:
    """Let the clients introduce themselves."""
    config = _config(context)
    check_required_privacy(context, config)
    clients = DescribeRequest.from_records(message.content).clients
    owner = owner_of(context)
    if owner is not None:
        # Each message may have a process of its own: this one, once a run, tells what is odd about images.
        owner = replace(owner, examines=True)
    with mistakes_told():
        reply = DescribeReply({client: _client(config, owner, client).describe() for client in clients})
    return Message(reply.to_records(method_of(config)), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one round, in lock-step with all other clients if the method wants it."""
    config = _config(context)
    method = method_of(config)
    request = TrainRequest.from_records(message.content, method)
    assignment = request.assignment
    if request.stream is not None:
        config = config.with_preset(request.stream.preset)
    owner = owner_of(context)
    _prepare_process(config, 1 if owner else request.neighbours)
    host = _host(config, owner, assignment.training)
    # The stream comes first: whatever fails within it, the other hosts learn at once and do not wait.
    with mistakes_told(), _channel(config, request, context, owner) as channel, _own_files_told(owner):
        check_required_privacy(context, config)
        if owner is None:
            _check_images(config, assignment.training)
        timer = _timer(config, assignment.clients, owner)
        trained = host.train(assignment, channel, timer, _stop_after(config.round_seconds, "round_seconds"))
    reasons = _reasons(trained.drop_outs, "the round")
    reply = TrainReply(assignment.round, assignment.attempt, trained.uploads, reasons)
    return Message(reply.to_records(method), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the clients' own models, and judge a product on the test data of the owned client."""
    config = _config(context)
    check_required_privacy(context, config)
    method = method_of(config)
    request = EvaluateRequest.from_records(message.content, method)
    owner = owner_of(context)
    _prepare_process(config, 1 if owner else request.neighbours)
    host = _host(config, owner, request.order.training)
    cache = owner.state_folder if owner else config.data.cache
    stop = _stop_after(config.evaluation.seconds, "evaluation.seconds")
    with mistakes_told(), _own_files_told(owner), progress_told(Paced(_telling(config, owner))):
        evaluated = host.evaluate(request.order, lambda client: _data(config, owner, client), cache, stop)
        products = _judged(config, owner, request)
    if owner is not None:
        for scores in evaluated.scores.values():
            owner.tell_doubts(scores.get(GENERATED, {}).get("judge_accuracy"))
    reply = EvaluateReply(
        own=evaluated.scores,
        products=products,
        drop_outs=_reasons(evaluated.drop_outs, "the evaluation"),
    )
    return Message(reply.to_records(method), reply_to=message)


def _judged(config: RunConfig, owner: Owner | None, request: EvaluateRequest) -> dict[int, Judged]:
    """Return what the owned client finds of a product, if it is asked to judge one and has test images."""
    if request.judge is None:
        return {}
    if owner is None or owner.client != request.judge:
        raise ValueError(f"client {request.judge} is not owned by this SuperNode, which cannot judge for it")
    try:
        scores, samples = owner.judge(config, method_of(config), request.product)
    except (DivergedError, MissingExtraError) as error:
        LOGGER.warning("client %s cannot judge its product: %s", request.judge, error)
        return {}
    return {request.judge: Judged(samples, scores)} if samples else {}


def _telling(config: RunConfig, owner: Owner | None) -> Callable[[str], None]:
    """Return what shows a line: in the SuperNode's log, and of a simulation where the run was launched."""

    def tell(text: str) -> None:
        SHOWN.info("%s", text)
        if owner is None:
            tell_launcher(config, text)

    return tell


def _own_files_told(owner: Owner | None) -> AbstractContextManager[None]:
    return own_files_told(None if owner is None else owner.client)


def _reasons(drop_outs: Mapping[int, DropOut], of: str) -> dict[int, str]:
    for client, drop_out in drop_outs.items():
        LOGGER.warning("client %s dropped out of %s: %s", client, of, drop_out.reason)
    return {client: drop_out.reason for client, drop_out in drop_outs.items()}


def _config(context: Context) -> RunConfig:
    config, owner = resolved(from_run_config(context.run_config)), owner_of(context)
    if owner:
        return owner.own_settings(config)
    begun_with = None
    if config.resume is not None and config.model.classes is None:
        begun_with = settings_of(config.resume, config.resume_round)
    return following_data(as_begun(config, begun_with))


def _host(config: RunConfig, owner: Owner | None, training: str) -> Host:
    return Host(
        config,
        method_of(config),
        lambda client: _client(config, owner, client),
        owners_folder(owner.state_folder, training) if owner else client_folder(config.folder),
        may_have_lost_files=owner is not None,
        images_of=None if owner is None else lambda _: owner.images_hash(config),
        spent=None if owner is None else owner.state_folder,
    )


def _client(config: RunConfig, owner: Owner | None, client: int) -> Client:
    images, device = _data(config, owner, client).train, _device(config, owner, client)
    return method_of(config).client(client, images, device, config)


def _data(config: RunConfig, owner: Owner | None, client: int) -> ClientData:
    if owner is None:
        return _population(config).data_of(client)
    if owner.client != client:
        raise ValueError(f"client {client} is not owned by this SuperNode, which owns client {owner.client}")
    return owner.data(config)


def _device(config: RunConfig, owner: Owner | None, client: int) -> Device:
    return owner.device() if owner else _devices(config)[client]


@lru_cache(maxsize=1)
def _devices(config: RunConfig) -> dict[int, Device]:
    return deal_devices(config)


@lru_cache(maxsize=1)
def _population(config: RunConfig) -> Population:
    with progress_told(Paced(SHOWN.info)):
        return population_for(config, method_of(config))


@lru_cache(maxsize=1)
def _images(config: RunConfig) -> str:
    return images_hash(_population(config))


def _check_images(config: RunConfig, training: str) -> None:
    """Raise ``OtherImagesError`` if this process has read other images than the training began with.

    The server has read them once; a process that is started later may find that they have been changed.
    """
    known = images_of_training(config.folder, training)
    if known is not None and known != _images(config):
        raise OtherImagesError(
            "the images that this SuperNode finds are not those that the run began with; put those back, and "
            "resume the run"
        )


def _channel(
    config: RunConfig, request: TrainRequest, context: Context, owner: Owner | None
) -> AbstractContextManager[Channel | None]:
    """Return the stream to the executor, or None if messages are all that the method needs."""
    stream = request.stream
    if stream is None:
        return nullcontext()
    return GrpcChannel(
        stream.address,
        stream.token,
        claim_of(request.assignment, context.run_id, context.node_id),
        exchanges=method_of(config).crossing.exchanges,
        wire=wire_type_of(config, request.assignment.round),
        patience=stream.answer_seconds,
        roots=root_certificates_of(context),
        share_memory=owner is None and config.executor.shared_memory,
    )


def _timer(config: RunConfig, clients: tuple[int, ...], owner: Owner | None) -> HostTimer:
    """Return a timer; a real device is never emulated."""
    if owner is not None:
        return device_timer(config)
    devices = _devices(config)
    return host_timer(config, {client: devices[client] for client in clients})


def _stop_after(seconds: float, setting: str) -> Callable[[], None]:
    """Return a check that raises ``TimeoutError`` after ``seconds``: nobody waits for a reply any more."""
    ends = time.monotonic() + seconds

    def stop() -> None:
        if time.monotonic() > ends:
            raise TimeoutError(f"the message has been worked on for longer than {setting} = {seconds:g}")

    return stop


def _prepare_process(config: RunConfig, neighbours: int) -> None:
    cores = os.cpu_count() or 1
    prepare_process(config.compute, threads=max(1, cores // max(1, neighbours)))
