"""Uploads cross as packed differences to what was sent down; what rounding takes from one is in the next."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.methods.contract import Crossing, Order, Orders, byte_counts, form_of
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.run.uploads import UploadWire
from huscf_flwr.session import SentBytes, packing, sent_bytes
from tests.quick import OF_EACH_KIND, OF_EACH_WAY, mostly_slow
from tests.run.builders import (
    METHODS,
    all_tensors,
    assert_close,
    assert_same_run,
    assert_same_state,
    assert_same_to_the_bit,
    method_class,
    private_tensors,
    server_tensors,
    small_run,
)
from tests.run.local_runs import trained_folder, training_with

EIGHT_BITS, BFLOAT16 = packing.PackedForm(8), packing.PackedForm(16)
FORMS = [EIGHT_BITS, BFLOAT16]
CROSSING = Crossing(order_kinds=("models",), upload_kinds=("models", "means"))
PACKED = {"wire.uploads": "8-bits"}
OWED = torch.full((7, 31), 0.5).double()
TAKE_PACKED = [
    name
    for name in OF_EACH_WAY
    if set(method_class(name).crossing.upload_kinds) & set(method_class(name).crossing.order_kinds)
]
"""The others are refused, since nothing would be packed."""
WITHOUT_A_BASE = {
    "huscf-local-discriminator": {"statistics of activations"},
    "fedproto": {"class_means"},
    "fedvtc": {"class_means", "spread", "decoder"},
    "fedvtc-own-decoders": {"class_means", "spread"},
    "fedtgp": {"class_means"},
    "hflgan": {"global_generator"},
}
"""What clients upload after the second round that did not come down for it: the documents name it too."""


def wire(form=EIGHT_BITS, crossing=CROSSING):
    return UploadWire(form, crossing)


def model(seed=0, dtype=torch.float64):
    """A layer, its BatchNorm's buffers, and a frozen table."""
    stream = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(7, 31, generator=stream, dtype=dtype),
        "bias": torch.randn(7, generator=stream, dtype=dtype),
        "running_var": torch.rand(7, generator=stream, dtype=dtype),
        "num_batches_tracked": torch.tensor(seed),
        "embedding": torch.ones(3, 5, dtype=dtype),
    }


def sent_and_received(tensors, bases, residuals=None, wire=wire()):  # noqa: B008 - it does not change
    sent, left = wire.sent(tensors, bases, residuals or {})
    return sent, wire.received(sent, bases, form_of(tensors)), left


@settings(max_examples=30)
@given(st.sampled_from(FORMS), st.integers(1, 6), st.integers(0, 20), st.floats(1e-6, 1e3))
def test_what_arrived_over_rounds_is_what_was_to_be_sent_but_for_the_last_residual(form, rounds, seed, size):
    """Each round has a base of its own, and trains away from it."""
    stream = torch.Generator().manual_seed(seed)
    residuals, moved, arrived = {}, torch.zeros(20, 20).double(), torch.zeros(20, 20).double()
    for _ in range(rounds):
        base = torch.randn(20, 20, generator=stream, dtype=torch.float64)
        step = size * torch.randn(20, 20, generator=stream, dtype=torch.float64)
        bases, tensors = {"models": {"weight": base}}, {"models": {"weight": base + step}}
        _, received, residuals = sent_and_received(tensors, bases, residuals, wire(form))
        moved += tensors["models"]["weight"] - base
        arrived += received["models"]["weight"] - base
    (left,) = residuals.values()
    torch.testing.assert_close(arrived + left, moved, rtol=0, atol=1e-12 * (1 + size))
    assert left.abs().max() < size / 16


@pytest.mark.parametrize("form", FORMS)
def test_weights_cross_packed_and_vectors_and_integers_as_they_are(form):
    bases, tensors = {"models": model(0)}, {"models": model(1)}
    sent, received, left = sent_and_received(tensors, bases, wire=wire(form))
    assert sent["models"].keys() == {"weight", "bias", "running_var", "num_batches_tracked"}
    weight = sent["models"]["weight"]
    assert (weight.dtype, weight.shape) == (torch.uint8, (form.byte_count(7 * 31),))
    for name in ("bias", "running_var", "num_batches_tracked", "embedding"):
        assert torch.equal(received["models"][name], tensors["models"][name])
    assert list(received["models"]) == list(tensors["models"])
    assert left.keys() == {"models/weight"}
    assert left["models/weight"].any()


def test_what_has_not_moved_is_not_sent_unless_something_is_owed():
    bases = {"models": model()}
    sent, received, left = sent_and_received(bases, bases)
    assert (sent, left) == ({}, {})
    assert_same_to_the_bit(received["models"], bases["models"])
    sent, received, left = sent_and_received(bases, bases, {"models/weight": OWED})
    assert sent["models"].keys() == {"weight"}
    torch.testing.assert_close(
        received["models"]["weight"], bases["models"]["weight"] + 0.5, rtol=0, atol=1e-3
    )


@pytest.mark.parametrize(
    "bases",
    [
        {},
        {"models": {}},
        {"models": {**model(), "weight": torch.zeros(2, 2)}},
        {"models": model(0, torch.float32)},
    ],
    ids=["nothing was sent", "other tensors were", "of another shape", "of another type"],
)
def test_without_a_base_a_tensor_crosses_as_it_is_and_what_is_owed_waits(bases):
    tensors, owed = {"models": model(1), "means": {"of": torch.rand(2, 3)}}, {"models/weight": OWED}
    sent, received, left = sent_and_received(tensors, bases, owed)
    assert torch.equal(sent["models"]["weight"], tensors["models"]["weight"])
    assert sent["means"] == tensors["means"]
    assert_same_to_the_bit(received["models"], tensors["models"])
    assert left == owed
    _, received, _ = sent_and_received({"models": model(1)}, {"models": model()}, left)
    expected = tensors["models"]["weight"] + OWED
    torch.testing.assert_close(received["models"]["weight"], expected, rtol=0, atol=0.03)


@pytest.mark.parametrize(
    "tensors",
    [{"means": {"of": torch.rand(2, 3)}}, {"models": {"other": torch.rand(2, 3)}}],
    ids=["of another kind", "others of the kind"],
)
def test_what_is_owed_waits_until_the_tensor_is_sent(tensors):
    owed = {"models/weight": OWED}
    assert wire().sent(tensors, {}, owed)[1] == owed


def test_what_is_owed_of_a_tensor_of_another_shape_is_owed_no_more():
    _, received, left = sent_and_received({"models": model()}, {}, {"models/weight": torch.ones(2, 2)})
    assert_same_to_the_bit(received["models"], model())
    assert left == {}


def test_of_a_model_that_goes_on_with_another_client_nothing_is_owed():
    handed_on = wire(crossing=replace(CROSSING, handed_on=("models",)))
    _, received, left = sent_and_received({"models": model(1)}, {"models": model()}, wire=handed_on)
    assert left == {}
    torch.testing.assert_close(received["models"]["weight"], model(1)["weight"], rtol=0, atol=0.03)
    with pytest.raises(ValueError, match="'models' is handed on, but no upload has it"):
        Crossing(handed_on=("models",))


def test_bases_are_of_what_uploads_have_and_do_not_change_with_it():
    weight, told = torch.zeros(2, 2), torch.zeros(2, 2)
    orders = Orders(
        clients={0: Order(tensors={"models": {"a": told}}, groups=("all",)), 1: Order(groups=("all",))},
        groups={"all": {"models": {"b": weight}, "moments": {"b": weight}}},
    )
    bases = wire().bases(orders)
    weight += 1
    told += 1
    assert {kind: set(named) for kind, named in bases.of(0).tensors.items()} == {"models": {"a", "b"}}
    assert not any(bases.of(0).tensors["models"][name].any() for name in "ab")
    assert bases.of(1).tensors.keys() == {"models"}
    assert wire(form=None).bases(orders).of(0).tensors == {}


def test_an_exact_upload_is_handed_on_untouched():
    exact = wire(form=None)
    tensors = {"models": model(1)}
    sent, left = exact.sent(tensors, {}, {"models/weight": torch.ones(1)})
    assert (sent is tensors, left) == (True, {})
    assert exact.received(sent, {}, form_of(tensors))["models"] is tensors["models"]


BYTES = EIGHT_BITS.byte_count(7 * 31)


@pytest.mark.parametrize(
    ("name", "wrong", "refusal"),
    [
        (
            "weight",
            torch.zeros(BYTES - 1, dtype=torch.uint8),
            rf"uint8 \({BYTES - 1},\), not .* \({BYTES},\)",
        ),
        ("weight", torch.zeros(10 * BYTES, dtype=torch.uint8), rf"not torch.uint8 \({BYTES},\)"),
        ("weight", torch.zeros(BYTES, dtype=torch.int8), "as torch.int8"),
        ("weight", model()["weight"], r"as torch.float64 \(7, 31\), not torch.uint8"),
        ("weight", torch.full((BYTES,), 255, dtype=torch.uint8), "weight with numbers that are not finite"),
        ("bias", torch.full((7,), float("nan")).double(), "bias with numbers that are not finite"),
        ("bias", torch.zeros(7, dtype=torch.uint8), "bias as torch.uint8"),
        ("labels", torch.zeros(7), "with labels, which nobody asked for"),
    ],
)
def test_a_hostile_upload_is_refused_in_words(name, wrong, refusal):
    tensors, bases = {"models": model(1)}, {"models": model()}
    sent, _ = wire().sent(tensors, bases, {})
    hostile = {"models": {**sent["models"], name: wrong}}
    with pytest.raises(ValueError, match=f"^models .*{refusal}"):
        wire().received(hostile, bases, form_of(tensors))


def test_what_the_server_never_sent_cannot_be_left_out():
    tensors = {"models": model(1), "means": {"of": torch.rand(2, 3)}}
    sent, _ = wire().sent(tensors, {"models": model()}, {})
    with pytest.raises(ValueError, match="means without of"):
        wire().received({"models": sent["models"]}, {"models": model()}, form_of(tensors))


@pytest.mark.parametrize("method", mostly_slow(METHODS, *OF_EACH_KIND))
@pytest.mark.parametrize("uploads", ["8-bits", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_two_rounds_of_every_method(tmp_path, method, uploads):
    """Of what was sent down less comes up, and that is counted; the rest comes as it is."""
    training = training_with(method, tmp_path, **{"wire.uploads": uploads})
    for number in (1, 2):
        opened, hosted = training.begin()
        uploaded = training.rounds.usable(hosted.uploads)
        assert uploaded.keys() == hosted.uploads.keys()
        assert opened.session.dropped == {}
        for client, upload in hosted.uploads.items():
            whole, form = byte_counts(uploaded[client].tensors), training.method.form(client)
            assert form_of(uploaded[client].tensors) == {
                kind: form[kind] for kind in uploaded[client].tensors
            }
            for kind, count in byte_counts(upload.tensors).items():
                has_base = bool(opened.orders.of(client).tensors.get(kind))
                assert number == 1 or has_base is (kind not in WITHOUT_A_BASE.get(method, ()))
                assert count < 0.8 * whole[kind] if has_base else count == whole[kind]
            up = opened.ledger.by_client("up").get(client, 0)
            assert up >= sum(byte_counts(upload.tensors).values())
        training.rounds.close(uploaded)


@pytest.mark.parametrize(("every", "differs"), [(1, True), (2, False)])
def test_discriminators_that_came_down_in_an_earlier_round_cross_as_they_are(tmp_path, every, differs):
    training = training_with("mdgan", tmp_path, **{"wire.uploads": "8-bits", "mdgan.swap_every": every})
    for _ in range(3):
        training.train()
    _, hosted = training.begin()
    for upload in hosted.uploads.values():
        types = {tensor.dtype for tensor in upload.tensors["discriminator"].values()}
        assert (torch.uint8 in types) is differs


@pytest.mark.parametrize("method", mostly_slow(["fedgan", "huscf"], "fedgan"))
def test_a_round_that_is_taken_back_takes_the_residuals_back(tmp_path, method):
    tried, other = (training_with(method, tmp_path, name=name, **PACKED) for name in ("tried", "other"))
    for training in (tried, other):
        for _ in range(2):
            training.train()
    tried.begin()
    tried.rounds.take_back()
    for training in (tried, other):
        training.train()
    assert tried.rounds.kept == other.rounds.kept
    assert_same_state(tried.method.state(), other.method.state())


def test_a_client_whose_upload_was_lost_owes_what_it_owed_before(tmp_path):
    """It has gone on by itself; the server has not heard of it, and says so in the next order."""
    lost, absent = (training_with("fedgan", tmp_path, name=name, **PACKED) for name in ("lost", "absent"))
    for training in (lost, absent):
        training.train()
    lost.train(absent=[1])
    absent.train(clients=[0, 2])
    for training in (lost, absent):
        training.train()
    assert lost.rounds.kept == absent.rounds.kept
    assert_same_state(lost.method.state(), absent.method.state())


def test_a_client_with_a_hostile_upload_drops_out_with_a_sentence_and_its_bytes_do_not_count(tmp_path):
    training = training_with("fedgan", tmp_path, **PACKED)
    opened, hosted = training.begin()
    (kind, tensors), name = *hosted.uploads[1].tensors.items(), "generator.1.main.weight"
    hostile = {kind: {**tensors, name: tensors[name][:-1]}}
    usable = training.rounds.usable({**hosted.uploads, 1: replace(hosted.uploads[1], tensors=hostile)})
    assert usable.keys() == {0, 2}
    assert opened.ledger.by_client("up").keys() == {0, 2}
    reason = opened.session.dropped[1].reason
    assert reason.startswith(f"client 1 sent networks {name} as torch.uint8 ({len(tensors[name]) - 1},), not")


def test_a_device_that_lost_its_files_owes_nothing(tmp_path):
    training = training_with("fedgan", tmp_path, **PACKED)
    training.lost = True
    training.train()
    for path in training.folder.rglob("*.safetensors"):
        path.unlink()
    training.new_host()
    assert training.train().collected.uploads.keys() == {0, 1, 2}


@pytest.mark.parametrize("method", mostly_slow(TAKE_PACKED, "fedgan"))
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(images, tmp_path, method):
    settings = {**METHODS[method], **PACKED, "checkpoint.keep_last": 9}
    whole = trained_folder(tmp_path, "whole", images, **settings)
    rest = trained_folder(tmp_path, "rest", images, **settings, resume=whole, resume_round=2)
    assert_same_run(rest, whole)
    owed = [name for name in private_tensors(whole) if "upload-residual/" in name]
    assert bool(owed) is (method != "mdgan")


@pytest.mark.slow
@pytest.mark.parametrize("method", TAKE_PACKED)
def test_the_number_of_hosts_changes_nothing(images, tmp_path, method):
    settings = {**METHODS[method], **PACKED, "compute.precision": "float64"}
    one, two = (trained_folder(tmp_path, f"hosts-{hosts}", images, hosts, **settings) for hosts in (1, 2))
    assert_close(all_tensors(two), all_tensors(one))


@pytest.mark.slow
def test_metrics_count_bytes_as_they_crossed_and_the_models_are_others(images, tmp_path):
    runs = {
        uploads: trained_folder(
            tmp_path, uploads, images, method="fedgan", rounds=2, **{"wire.uploads": uploads}
        )
        for uploads in ("exact", "bfloat16", "8-bits")
    }
    up = {uploads: read_metrics(folder)[1]["bytes"]["up"]["networks"] for uploads, folder in runs.items()}
    assert up["8-bits"] < 0.4 * up["exact"] < 0.8 * up["bfloat16"] < 0.8 * up["exact"]
    exact, packed = (server_tensors(runs[uploads]) for uploads in ("exact", "8-bits"))
    assert any(not torch.equal(exact[name], packed[name]) for name in exact)


def test_the_latency_model_knows_the_bytes_of_a_weight(images, tmp_path):
    found = {
        uploads: sent_bytes(small_run(images, tmp_path, **{"wire.uploads": uploads})).upload
        for uploads in ("exact", "bfloat16", "8-bits")
    }
    assert found == {"exact": SentBytes().upload, "bfloat16": 2, "8-bits": EIGHT_BITS.bytes_per_number}
