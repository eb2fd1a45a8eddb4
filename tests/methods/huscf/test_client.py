import pytest
import torch

from huscf_flwr.data import LabelledImages
from huscf_flwr.models import Cut
from huscf_flwr.session import WireType
from huscf_flwr.methods.huscf.parts import model_spec_of
from huscf_flwr.methods.huscf.participant import Participant, adam_settings, dtype_of, wire_type_of
from tests.run.builders import small_run


@pytest.fixture
def held():
    """Twenty images; the label can be read off each."""
    labels = torch.arange(20) % 10
    return LabelledImages((25 * labels).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 28, 28), labels)


@pytest.fixture
def make(held, tmp_path):
    def participant(client=0, **settings):
        config = small_run(tmp_path, tmp_path, **settings)
        return Participant(client, held, config, model_spec_of(config), Cut())

    return participant


def batches(participant, number, count=4):
    source = participant.begin_round(number).next_batch
    return [source() for _ in range(count)]


def same(first, second):
    return all(
        torch.equal(mine.images, other.images)
        and torch.equal(mine.labels, other.labels)
        and torch.equal(mine.latents, other.latents)
        for mine, other in zip(first, second, strict=True)
    )


def test_batches_depend_on_seed_client_and_round_only(make):
    """Not on the host: another process, which has trained other rounds and other clients before."""
    reference = batches(make(client=1), 3)
    busy = make(client=1)
    batches(busy, 1)
    batches(make(client=0), 3)
    torch.randn(7)
    assert same(batches(busy, 3), reference)
    assert not same(batches(make(client=1), 2), reference)
    assert not same(batches(make(client=2), 3), reference)
    assert not same(batches(make(client=1, seed=1), 3), reference)


def test_two_clients_that_are_interleaved_draw_what_each_draws_alone(make):
    alone = {client: batches(make(client=client), 1) for client in (0, 1)}
    sources = {client: make(client=client).begin_round(1).next_batch for client in (0, 1)}
    together = {0: [], 1: []}
    for _ in range(4):
        for client in (1, 0):
            together[client].append(sources[client]())
    assert all(same(together[client], alone[client]) for client in (0, 1))


def test_a_pass_has_every_image_once_with_its_own_label(make):
    seen = batches(make(), 1, count=3)
    assert [len(batch.labels) for batch in seen] == [8, 8, 4]
    labels = torch.cat([batch.labels for batch in seen])
    assert labels.bincount().tolist() == [2] * 10
    for batch in seen:
        expected = batch.labels * 25 / 127.5 - 1
        torch.testing.assert_close(batch.images.amax((1, 2, 3)), expected)
        torch.testing.assert_close(batch.images.amin((1, 2, 3)), expected)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("float64", torch.float64), ("bfloat16", torch.float32)],
)
def test_images_and_latents_are_not_coarser_than_float32(make, precision, dtype):
    (batch,) = batches(make(**{"compute.precision": precision}), 1, count=1)
    assert batch.images.dtype == batch.latents.dtype == dtype
    assert batch.latents.shape == (8, 100)


def test_common_weights_in_corrected_mode_and_own_ones_in_parity(make):
    def first_weights(client, mode):
        return make(client=client, mode=mode).split.segments.states()["generator", 0]["main.weight"]

    assert torch.equal(first_weights(0, "corrected"), first_weights(1, "corrected"))
    assert not torch.equal(first_weights(0, "parity"), first_weights(1, "parity"))
    assert torch.equal(first_weights(1, "parity"), first_weights(1, "parity"))


def test_the_optimiser_is_the_configured_one(tmp_path):
    given = {"optimiser.learning_rate": 0.001, "optimiser.beta1": 0.25, "optimiser.beta2": 0.5}
    config = small_run(tmp_path, tmp_path, **given)
    adam = adam_settings(config)
    assert (adam.learning_rate, adam.beta1, adam.beta2) == (0.001, 0.25, 0.5)
    assert dtype_of(config) == torch.float32


def test_numbers_cross_as_they_are_computed_unless_a_narrower_type_is_set(tmp_path):
    def wire(precision, sent):
        return wire_type_of(
            small_run(tmp_path, tmp_path, **{"compute.precision": precision, "compute.wire_dtype": sent})
        )

    assert wire("float32", "null") == WireType()
    assert wire("bfloat16", "bfloat16") == WireType()
    assert wire("float64", "bfloat16") == WireType(torch.bfloat16, torch.float64)
