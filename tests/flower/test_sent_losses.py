"""With `privacy.send_losses: false` no loss is in what a SuperNode sends, and none is taken."""

from dataclasses import replace

import pytest
from flwr.app import MetricRecord

from huscf_flwr.flower.messages import TRAIN, TrainReply
from huscf_flwr.run.display import round_line
from huscf_flwr.run.metrics_line import line_of
from huscf_flwr.session.wire import ExecutorServer
from tests.flower.handlers import Service, ask, context
from tests.quick import mostly_slow
from tests.run.builders import METHODS, assert_same_to_the_bit, small_run


@pytest.fixture
def server():
    server = ExecutorServer("127.0.0.1:0")
    yield server
    server.stop()


def reply_of(images, place, server, name, **settings):
    """What a service asked for, and what it was sent, as it crosses."""
    config = small_run(images, place, **METHODS[name], **{"model.width": 0.03}, **settings)
    service = Service(config, server, {0: 30})
    return service, ask(service.request(), TRAIN, context(config))


def numbers_in(records):
    found = [value for each in records.values() if isinstance(each, MetricRecord) for value in each.values()]
    return {number for value in found for number in (value if isinstance(value, list) else [value])}


@pytest.mark.parametrize("name", mostly_slow(["huscf", "fedproto"], "huscf"))
def test_no_loss_crosses_and_the_round_is_closed_without(images, tmp_path, server, name):
    service, told = reply_of(images, tmp_path / "told", server, name)
    sent = TrainReply.from_records(told, service.method).uploads[0]
    losses = sent.losses
    assert set(losses.values()) <= numbers_in(told)

    service, kept = reply_of(images, tmp_path / "kept", server, name, **{"privacy.send_losses": "false"})
    assert not set(losses.values()) & numbers_in(kept) - {0.0}
    assert not [key for key, each in kept.items() if key.startswith("losses") and len(each)]
    upload = TrainReply.from_records(kept, service.method).uploads[0]
    with pytest.raises(ValueError, match=r"client 0 sent losses \[.*\], not \[\]"):
        service.rounds.read_upload(0, replace(upload, losses=losses))
    service.rounds.read_upload(0, upload)
    for kind, tensors in sent.tensors.items():
        assert_same_to_the_bit(upload.tensors[kind], tensors)
    line = line_of(service.rounds.method, service.rounds.close({0: upload}))
    assert line["losses"] == line["clients"][0]["losses"] == {}
    assert not set(losses) & set(round_line(line, 2).split())
