import pytest
import torch

from huscf_flwr.cuts import Device
from huscf_flwr.data import LabelledImages, ShuffledPasses
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.huscf import HuSCFClient
from huscf_flwr.methods.huscf.crossing import SEGMENTS, HuSCFOrder
from huscf_flwr.models import Cut, client_block_keys, flatten_blocks, initial_states, model_spec_of
from huscf_flwr.split import Batch, SplitClient
from tests.run.builders import assert_same_to_the_bit, small_run

DEVICE = Device(name="phone", gflops=1, mbit_per_s=1)


@pytest.fixture
def held():
    """Twenty images; the label can be read off each."""
    labels = torch.arange(20) % 10
    return LabelledImages((25 * labels).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 28, 28), labels)


@pytest.fixture
def make(held, tmp_path):
    def client(number=0, **settings):
        return HuSCFClient(number, held, DEVICE, small_run(tmp_path, tmp_path, **settings))

    return client


def order_of(cut=(1, 1, 1, 1), **tensors):
    return Order(facts=HuSCFOrder(cut=cut), tensors=tensors)


def begun(client, number):
    client.begin(number, order_of())
    return client


def batches(client, number, monkeypatch, count=4):
    """The batches of the first steps of a round."""
    given = []
    monkeypatch.setattr(SplitClient, "hosted_step", lambda split, batch: given.append(batch))
    begun(client, number)
    for _ in range(count):
        client.step()
    return given


@pytest.fixture
def drawn(monkeypatch):
    return lambda client, number, count=4: batches(client, number, monkeypatch, count)


def same(first: list[Batch], second: list[Batch]):
    return all(
        torch.equal(mine.images, other.images)
        and torch.equal(mine.labels, other.labels)
        and torch.equal(mine.latents, other.latents)
        for mine, other in zip(first, second, strict=True)
    )


def test_batches_depend_on_seed_client_and_round_only(make, drawn):
    """Not on the host: another process, which has trained other rounds and other clients before."""
    reference = drawn(make(1), 3)
    busy = make(1)
    drawn(busy, 1)
    drawn(make(0), 3)
    torch.randn(7)
    assert same(drawn(busy, 3), reference)
    assert not same(drawn(make(1), 2), reference)
    assert not same(drawn(make(2), 3), reference)
    assert not same(drawn(make(1, seed=1), 3), reference)


def test_two_clients_that_are_interleaved_draw_what_each_draws_alone(make, monkeypatch):
    alone = {number: batches(make(number), 1, monkeypatch) for number in (0, 1)}
    together = []
    monkeypatch.setattr(SplitClient, "hosted_step", lambda split, batch: together.append(batch))
    clients = [begun(make(number), 1) for number in (1, 0)]
    for _ in range(4):
        for client in clients:
            client.step()
    assert same(together[0::2], alone[1])
    assert same(together[1::2], alone[0])


def test_a_pass_has_every_image_once_with_its_own_label(make, drawn):
    seen = drawn(make(), 1, count=3)
    assert [len(batch.labels) for batch in seen] == [8, 8, 4]
    labels = torch.cat([batch.labels for batch in seen])
    assert labels.bincount().tolist() == [2] * 10
    for batch in seen:
        expected = batch.labels * 25 / 127.5 - 1
        torch.testing.assert_close(batch.images.amax((1, 2, 3)), expected)
        torch.testing.assert_close(batch.images.amin((1, 2, 3)), expected)


def test_fresh_draws_are_the_first_batches_of_new_passes(make, drawn, held, tmp_path):
    """Two draws of eight of twenty images have images in common, but for one chance in two hundred."""
    client = make(**{"huscf.batches": "fresh-draw"})
    seen = drawn(client, 1)
    assert [len(batch.labels) for batch in seen] == [8] * 4
    passes = RoundBatches(held, client.config, latent=100, client=0, number=1, sampler=ShuffledPasses)
    assert torch.equal(seen[0].labels, passes.next().labels)
    assert not torch.equal(seen[1].labels, passes.next().labels)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("float64", torch.float64), ("bfloat16", torch.float32)],
)
def test_images_and_latents_are_not_coarser_than_float32(make, drawn, precision, dtype):
    (batch,) = drawn(make(**{"compute.precision": precision}), 1, count=1)
    assert batch.images.dtype == batch.latents.dtype == dtype
    assert batch.latents.shape == (8, 100)


def test_common_weights_in_corrected_mode_and_own_ones_in_parity(make):
    def first_weights(number, mode):
        return begun(make(number, mode=mode), 1).split.segments.states()["generator", 0]["main.weight"]

    assert torch.equal(first_weights(0, "corrected"), first_weights(1, "corrected"))
    assert not torch.equal(first_weights(0, "parity"), first_weights(1, "parity"))
    assert torch.equal(first_weights(1, "parity"), first_weights(1, "parity"))


def test_it_takes_the_orders_blocks_over_and_uploads_those_that_it_keeps(make):
    client = make()
    spec = model_spec_of(client.config)
    cut = Cut(2, 1, 1, 2)
    states = initial_states(spec, seed=9, dtype=torch.float32)
    own = flatten_blocks({key: states[key] for key in client_block_keys(spec, cut)})
    client.begin(1, order_of(cut, **{SEGMENTS: own}))
    assert client.split.cut == cut
    assert set(client.upload().tensors) == {SEGMENTS}
    assert_same_to_the_bit(client.upload().tensors[SEGMENTS], own)


def test_nothing_can_be_trained_before_a_round_has_begun(make):
    client = make()
    for use in (client.step, lambda: client.device, client.upload):
        with pytest.raises(RuntimeError, match="client 0 has not begun a round"):
            use()


def test_what_it_keeps_are_its_moments_and_it_has_them_before_it_begins(make):
    """A client that is opened and does not train loses nothing."""
    moments = {"generator.0.main.weight.step": torch.tensor(3.0)}
    client = make()
    assert client.private() == {}
    client.load_private(moments)
    assert client.private() == moments
