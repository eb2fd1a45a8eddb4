"""Nothing private crosses: every message of real steps over gRPC, field by field and number by number."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from google.protobuf.unknown_fields import UnknownFieldSet
from torch.nn import functional

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import Ledger, run_steps
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel, Rendezvous, arrive, channel, server
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire.codec import FrameReader
from huscf_flwr.split import EXCHANGES, Batch, HostedClient
from huscf_flwr.split.exchanges import shape_of
from tests.models.specs import small_specs
from tests.split.builders import DOUBLE, build, open_session

FIELDS = {
    "Tensor": {"dtype", "shape", "channels_last", "exponent"},
    "Frame": {"exchange", "client", "tensors", "drop_out", "place"},
    "Packet": {"frame", "data", "farewell"},
    "Arrival": {"host"},
    "Admission": {"admitted"},
}
CALLS = {"Arrive": ("Arrival", "Admission"), "Session": ("Packet", "Packet")}
METADATA = {"huscf-token", "huscf-claim", "user-agent"}

STEPS = 2
HOSTS = [[0, 1], [2]]


def private_batch(spec, client, step):
    """Images, latents and labels whose numbers occur nowhere else; no label is 0, as activations are."""
    stream = torch.Generator().manual_seed(1000 * step + client)
    size = 2 + client
    return Batch(
        images=torch.rand(size, *spec.image.shape, generator=stream, dtype=DOUBLE) * 2 - 1,
        labels=torch.randint(1, spec.classes, (size,), generator=stream),
        latents=torch.randn(size, spec.latent, generator=stream, dtype=DOUBLE),
    )


def embedded_labels(client):
    """The rows that stand for labels in the first blocks: who knows them reads the labels off."""
    segments = client.segments
    parts = (segments.generator.blocks.at(0), segments.discriminator.blocks.at(0))
    return [part.embedding.weight.detach().clone() for part in parts]


def secrets(batch, classes):
    one_hot = functional.one_hot(batch.labels, classes)[:, 1:].to(DOUBLE)
    labels = batch.labels.to(DOUBLE)
    return [batch.images, batch.latents, labels, labels / classes, one_hot]


def occurring(private, tensor):
    """Numbers of ``private``, but zero, that occur anywhere in ``tensor``, in whatever order."""
    found = tensor[torch.isin(tensor, private)]
    return found[found != 0].tolist()


class Recorded:
    """What crossed in a short session of three clients on two hosts, and what should not have."""

    def __init__(self, name, monkeypatch):
        self.spec = small_specs()[name]
        cuts = legal_cuts(self.spec)
        self.cuts = {0: cuts[0], 1: cuts[-1], 2: cuts[len(cuts) // 2]}
        self.up, self.down, self.metadata, self.secrets = [], [], [], []
        self._record(monkeypatch, channel, self.up)
        self._record(monkeypatch, server, self.down)
        presented = server.presented

        def seen(metadata):
            self.metadata += [key for key, _ in metadata]
            return presented(metadata)

        monkeypatch.setattr(server, "presented", seen)
        executor, self.clients = build(self.spec, self.cuts)
        self.ledger = Ledger()
        self._run(open_session(executor, HOSTS, steps=STEPS, ledger=self.ledger))

    def _record(self, monkeypatch, module, messages_of_direction):
        encode = module.encode_frame

        def recording(*arguments):
            packets = list(encode(*arguments))
            messages_of_direction.append([packet.SerializeToString() for packet in packets])
            return iter(packets)

        monkeypatch.setattr(module, "encode_frame", recording)

    def _run(self, session):
        executor = ExecutorServer("127.0.0.1:0")
        rendezvous = executor.open_rendezvous(Rendezvous(len(HOSTS), 30.0))
        tokens = executor.open_session(session)

        def host(number):
            assert arrive(executor.address, rendezvous, f"node-{number}", 30.0)
            members = [
                HostedClient(self.clients[k], self._batches(self.clients[k])) for k in session.hosts[number]
            ]
            with GrpcChannel(executor.address, tokens[number], exchanges=EXCHANGES) as stream:
                run_steps(members, stream, STEPS)

        with ThreadPoolExecutor(len(HOSTS)) as pool:
            list(pool.map(host, range(len(HOSTS))))
        executor.stop()
        assert session.finished

    def _batches(self, client):
        drawn = iter([private_batch(self.spec, client.client, step) for step in range(STEPS)])

        def next_batch():
            batch = next(drawn)
            self.secrets += [*secrets(batch, self.spec.classes), *embedded_labels(client)]
            return batch

        return next_batch


@pytest.fixture(scope="module", params=sorted(small_specs()))
def recorded(request):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Recorded(request.param, monkeypatch)


def test_the_protocol_has_no_other_field():
    file = messages.DESCRIPTOR
    assert {
        name: {field.name for field in message.fields} for name, message in file.message_types_by_name.items()
    } == FIELDS
    assert not file.enum_types_by_name
    assert not file.extensions_by_name
    (service,) = file.services_by_name.values()
    assert {call.name: (call.input_type.name, call.output_type.name) for call in service.methods} == CALLS


def packets_of(sent):
    return [messages.Packet.FromString(packet) for packet in sent]


def read(sent):
    reader = FrameReader(EXCHANGES, lambda *_: None)
    return [reader.add(packet) for packet in packets_of(sent)][-1]


def walk(message):
    """Yield the message and all within it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                yield from walk(inner)


def test_messages_hold_listed_fields_only(recorded):
    assert len(recorded.up) == len(recorded.down) == len(recorded.cuts) * len(EXCHANGES) * STEPS
    for sent in recorded.up + recorded.down:
        for packet in packets_of(sent):
            for message in walk(packet):
                assert {field.name for field, _ in message.ListFields()} <= FIELDS[message.DESCRIPTOR.name]
                assert len(UnknownFieldSet(message)) == 0
            assert packet.farewell == packet.frame.drop_out == ""
    assert set(recorded.metadata) == METADATA


def test_tensors_are_floating_point_with_the_shapes_of_spec_cut_and_batch(recorded):
    for direction, sent in (("up", recorded.up), ("down", recorded.down)):
        for exchange, client, frame in map(read, sent):
            kinds = exchange.kinds(direction)
            assert len(frame) == len(kinds)
            for kind, tensor in zip(kinds, frame, strict=True):
                shape = shape_of(kind, recorded.spec, recorded.cuts[client])
                assert tuple(tensor.shape) == (2 + client, *shape)
                assert tensor.dtype == DOUBLE


def test_neither_images_nor_labels_nor_latents_are_sent(recorded):
    assert len(recorded.secrets) == 7 * len(recorded.cuts) * STEPS
    private = torch.cat([secret.flatten() for secret in recorded.secrets])
    for exchange, client, frame in map(read, recorded.up):
        for tensor in frame:
            assert occurring(private, tensor) == [], (exchange, client)


def test_the_search_finds_what_is_hidden(recorded):
    """The test above can fail: a latent vector, a one-hot label or an image's row among activations shows."""
    batch = private_batch(recorded.spec, 1, 0)
    for secret in secrets(batch, recorded.spec.classes):
        tensor = torch.zeros(500, dtype=DOUBLE)
        tensor[100:103] = secret[secret != 0].flatten()[:3].flip(0)
        assert occurring(secret, tensor) != []


def test_the_ledger_has_the_bytes_that_were_serialised(recorded):
    counted = Ledger()
    for direction, sent in (("up", recorded.up), ("down", recorded.down)):
        for packets in map(packets_of, sent):
            frame, numbers = packets[0].frame, b"".join(packet.data for packet in packets)
            kinds = EXCHANGES[frame.exchange - 1].kinds(direction)
            # Frames with two tensors have twice the same.
            assert len({tuple(tensor.shape) for tensor in frame.tensors}) == 1
            for kind in kinds:
                counted.record(frame.client, direction, kind.name, len(numbers) // len(kinds))
    assert recorded.ledger.entries == counted.entries
    assert counted.total(direction="up") > 0
    assert counted.total(direction="down") > 0
