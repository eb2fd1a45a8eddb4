"""A transcript has what crossed of chosen steps, as it crossed, and what clients were told and sent."""

import pytest
import torch

from huscf_flwr.methods.huscf.crossing import SEGMENTS
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.transcript import TranscriptRecorder
from huscf_flwr.session.wire_type import WireType
from huscf_flwr.split import EXCHANGES
from tests.run.builders import METHODS, SilentDisplay, small_run, write_domains


def recorded(tmp_path, choose_steps=lambda _: (2,), **settings):
    recorder = TranscriptRecorder(choose_steps)
    config = small_run(write_domains(tmp_path), tmp_path / "runs", rounds=1, **settings)
    train_locally(config, display=SilentDisplay(), judged=False, recorder=recorder)
    return recorder.transcripts


def test_every_exchange_of_the_chosen_steps_is_kept_with_its_tensors(tmp_path):
    transcripts = recorded(tmp_path)
    assert sorted(transcripts) == [0, 1, 2, 3]
    for transcript in transcripts.values():
        assert list(transcript.frames) == [2]
        expected = {(each.name, way): len(each.kinds(way)) for each in EXCHANGES for way in ("up", "down")}
        assert {key: len(frame) for key, frame in transcript.frames[2].items()} == expected


def test_numbers_are_kept_as_they_cross(tmp_path):
    wire = WireType(sent=torch.float16)
    frames = recorded(tmp_path, **{"wire.preset": "half"})[0].frames[2]
    for frame in frames.values():
        for tensor in frame:
            assert tensor.dtype is torch.float32
            assert torch.equal(tensor, wire.incoming(*wire.outgoing(tensor)))


def test_what_a_client_was_told_and_sent_is_kept_apart_from_the_live_weights(tmp_path):
    """Blocks of the order are those before the round, blocks of the upload those after it."""
    transcript = recorded(tmp_path)[0]
    before, after = transcript.order.tensors[SEGMENTS], transcript.upload.tensors[SEGMENTS]
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("method", ["fedgan", "fedproto"])
def test_a_method_of_messages_has_no_frames_but_an_upload(tmp_path, method):
    transcript = recorded(tmp_path, **METHODS[method])[0]
    assert transcript.frames == {}
    assert transcript.upload.tensors


@pytest.mark.slow
def test_the_last_round_is_kept(tmp_path):
    recorder = TranscriptRecorder(lambda _: ())
    config = small_run(write_domains(tmp_path), tmp_path / "runs", method="fedgan")
    train_locally(config, display=SilentDisplay(), judged=False, recorder=recorder)
    assert {transcript.round for transcript in recorder.transcripts.values()} == {2}


def test_only_of_chosen_clients(tmp_path):
    recorder = TranscriptRecorder(lambda steps: (steps,), lambda orders: list(orders.clients)[1:2])
    config = small_run(write_domains(tmp_path), tmp_path / "runs", rounds=1)
    train_locally(config, display=SilentDisplay(), judged=False, recorder=recorder)
    (transcript,) = recorder.transcripts.values()
    assert transcript.client == 1
    assert transcript.upload is not None
    assert len(transcript.frames) == 1


@pytest.mark.parametrize("kept", [False, True])
def test_what_others_sent_is_kept_only_where_somebody_asks_for_it(tmp_path, kept):
    recorder = TranscriptRecorder(lambda _: (), lambda orders: list(orders.clients)[:1], keep_uploads=kept)
    config = small_run(write_domains(tmp_path), tmp_path / "runs", method="fedgan", rounds=1)
    train_locally(config, display=SilentDisplay(), judged=False, recorder=recorder)
    assert sorted(recorder.transcripts) == [0]
    assert sorted(recorder.uploads) == ([0, 1, 2, 3] if kept else [])
    assert recorder.transcripts[0].upload.tensors


def test_what_is_kept_throughout_is_there_of_every_step_and_nothing_else(tmp_path):
    kept = ("GENERATE", "up")
    recorder = TranscriptRecorder(lambda _: (1,), throughout=[kept])
    config = small_run(write_domains(tmp_path), tmp_path / "runs", rounds=1)
    train_locally(config, display=SilentDisplay(), judged=False, recorder=recorder)
    transcript = recorder.transcripts[0]
    assert list(transcript.throughout) == [kept]
    first, *others = transcript.throughout[kept]
    assert len(others) > 1
    assert torch.equal(first[0], transcript.frames[1][kept][0])
    assert not torch.equal(first[0], others[0][0])
