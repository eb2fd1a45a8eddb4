import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.cuts import load_devices
from huscf_flwr.models import Cut, build_network, client_block_keys, legal_cuts
from huscf_flwr.session import ClientTimes, StepLosses
from huscf_flwr.split import Segments
from huscf_flwr.run.client_files import KeptMoments
from huscf_flwr.methods.huscf.taken_blocks import TakenBlocks
from huscf_flwr.flower.messages import (
    DESCRIBE,
    EVALUATE,
    RENDEZVOUS,
    TRAIN,
    Arrival,
    DescribeRequest,
    Description,
    EvaluateReply,
    EvaluateRequest,
    Invitation,
    TrainReply,
    TrainRequest,
)
from tests.split.builders import three_block_spec
from tests.flower.closed_list import unlisted
from tests.flower.in_process_grid import crossed

SPEC = three_block_spec()
DEVICES = [*load_devices("paper").devices, *load_devices("real").devices]

clients = st.integers(0, 2**31)
texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False)


def blocks(cut=None, seed=0):
    networks = [build_network(SPEC, name, seed=seed) for name in ("generator", "discriminator")]
    states = {key: state for network in networks for key, state in network.states().items()}
    return {key: states[key] for key in client_block_keys(SPEC, cut or legal_cuts(SPEC)[0])}


def taken_blocks():
    """Blocks with the moments of one step of Adam."""
    segments = Segments(SPEC, [("generator", 1), ("discriminator", 1)], seed=0)
    for parameter in segments.generator.blocks.parameters():
        parameter.grad = torch.ones_like(parameter)
    segments.generator.apply_gradients()
    return TakenBlocks(segments.states(), segments.moments())


def assert_same_blocks(found, expected):
    assert found.keys() == expected.keys()
    for key, state in expected.items():
        assert found[key].keys() == state.keys()
        for name, tensor in state.items():
            assert found[key][name].dtype == tensor.dtype
            assert torch.equal(found[key][name], tensor)


def there_and_back(message, message_type, direction):
    records = crossed(message.to_records())
    assert unlisted(records, message_type, direction) == []
    return type(message).from_records(records)


@given(texts, texts)
def test_invitation(address, token):
    message = Invitation(address, token)
    assert there_and_back(message, RENDEZVOUS, "down") == message


@given(st.booleans(), st.none() | clients)
def test_arrival(admitted, client):
    message = Arrival(admitted, client)
    assert there_and_back(message, RENDEZVOUS, "up") == message


@given(st.lists(clients).map(tuple))
def test_describe_request(ids):
    assert there_and_back(DescribeRequest(ids), DESCRIBE, "down") == DescribeRequest(ids)


@given(st.dictionaries(clients, st.tuples(st.integers(1, 10**6), st.sampled_from(DEVICES)), min_size=1))
def test_description(described):
    message = Description(
        {client: count for client, (count, _) in described.items()},
        {client: device for client, (_, device) in described.items()},
    )
    assert there_and_back(message, DESCRIBE, "up") == message


@settings(max_examples=20)
@given(st.dictionaries(clients, st.integers(0, 2), min_size=1), st.integers(1, 99), st.integers(1, 999))
def test_train_request(clusters, number, steps):
    sent = {cluster: blocks(seed=cluster) for cluster in set(clusters.values())}
    message = TrainRequest(
        round=number,
        attempt=number + 1,
        steps=steps,
        answer_seconds=12.5,
        address="localhost:1",
        token="secret",
        cuts=dict.fromkeys(clusters, Cut(1, 2, 3, 4)),
        clusters=clusters,
        blocks=sent,
        taken=dict.fromkeys(list(clusters)[:1], taken_blocks()),
        neighbours=2,
        training="0123456789abcdef" * 2,
        kept={client: KeptMoments(number, f"{client:064x}") for client in list(clusters)[1:]},
    )
    found = there_and_back(message, TRAIN, "down")
    assert (found.round, found.steps, found.address, found.token, found.neighbours) == (
        number,
        steps,
        "localhost:1",
        "secret",
        2,
    )
    assert (found.attempt, found.answer_seconds) == (number + 1, 12.5)
    assert found.claim(5, 6) == message.claim(5, 6)
    assert (found.training, found.kept) == (message.training, message.kept)
    assert found.cuts == message.cuts
    assert all(isinstance(cut, Cut) for cut in found.cuts.values())
    assert found.clusters == clusters
    assert found.blocks.keys() == sent.keys()
    for cluster, states in sent.items():
        assert_same_blocks(found.blocks[cluster], states)
    assert found.taken.keys() == message.taken.keys()
    for client, taken in message.taken.items():
        assert_same_blocks(found.taken[client].states, taken.states)
        assert_same_blocks({"moments": found.taken[client].moments}, {"moments": taken.moments})


def test_a_train_request_without_blocks():
    """The first round where every client begins with weights of its own."""
    message = TrainRequest(1, 1, 1, 9.0, "a", "t", {3: Cut()}, {3: 0}, {}, {}, 1, "ab" * 16, {})
    assert there_and_back(message, TRAIN, "down") == message


@given(st.dictionaries(clients, st.tuples(*[numbers] * 4), min_size=1, max_size=3))
def test_train_reply(measured):
    message = TrainReply(
        round=4,
        attempt=2,
        blocks={client: blocks(seed=place) for place, client in enumerate(measured)},
        losses={client: StepLosses(*values[:2]) for client, values in measured.items()},
        times={client: ClientTimes(*values[2:]) for client, values in measured.items()},
        kept={client: KeptMoments(3, f"{client:064x}") for client in measured},
    )
    found = there_and_back(message, TRAIN, "up")
    assert (found.round, found.attempt) == (4, 2)
    assert found.losses == message.losses
    assert found.times == message.times
    assert found.kept == message.kept
    for client, states in message.blocks.items():
        assert_same_blocks(found.blocks[client], states)


def test_types_and_layouts_cross():
    """Weights may be float64 and channels-last; counters are integers."""
    state = {
        "main.weight": torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator()).contiguous(
            memory_format=torch.channels_last
        ),
        "norm.num_batches_tracked": torch.tensor(7),
    }
    message = EvaluateRequest(4, {("generator", 1): state})
    found = there_and_back(message, EVALUATE, "down")
    assert found.client == 4
    assert_same_blocks(found.generator, message.generator)


@given(
    clients, st.integers(0, 10**6), st.dictionaries(st.sampled_from(["tstr_accuracy", "tstr_f1"]), numbers)
)
def test_evaluate_reply(client, samples, scores):
    message = EvaluateReply(client, samples, scores)
    assert there_and_back(message, EVALUATE, "up") == message


def test_the_list_notices_what_is_not_on_it():
    records = RecordDict(
        {
            "client-1": ConfigRecord({"samples": 3, "labels": [1, 2]}),
            "domain": ConfigRecord({"name": "mnist"}),
            "client-2": MetricRecord({"samples": 3}),
        }
    )
    assert unlisted(records, DESCRIBE, "up") == ["client-1/labels", "domain", "client-2"]
    arrays = RecordDict({"client-1": ArrayRecord({"images": torch.zeros(2, dtype=torch.uint8)})})
    assert unlisted(arrays, TRAIN, "up") == ["client-1/images", "client-1/images: uint8"]
