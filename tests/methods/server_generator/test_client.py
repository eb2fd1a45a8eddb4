import pytest
import torch

from huscf_flwr.methods.server_generator import Fakes
from tests.methods.server_generator.plain import Plain, begun, server_training
from tests.run.builders import assert_same_to_the_bit

METHODS = ("mdgan", "uagan", "fsgan")


@pytest.fixture(params=METHODS)
def training(request, tmp_path):
    return server_training(tmp_path, request.param)


def client_of(training, client=2):
    _, members = begun(training)
    return members[client]


def test_fakes_come_in_whole_batches_where_real_images_do_not(training):
    """The smallest client has 6 images, and a batch has 8."""
    executor, members = begun(training)
    assert len(members[2].images) < training.config.batch_size
    served, step = executor.step(1), members[2].step()
    next(served)
    assert next(step).frame == ()
    (images, labels, *_) = served.send({2: ()})[2]
    assert images.shape == (8, 1, 28, 28)
    assert labels.shape == (8,)
    assert labels.dtype == torch.int64


def test_judging_leaves_the_discriminator_and_its_gradients_alone(training):
    member = client_of(training)
    before = {name: tensor.clone() for name, tensor in member.states().items() if "running" not in name}
    images, logits = member.judge(Fakes(torch.rand(3, 1, 28, 28).double(), torch.arange(3)))
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert logits.shape == (3,)
    assert gradient.abs().sum() > 0
    after = member.states()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor) or name.endswith("num_batches_tracked"), name
    assert all(each.grad is None for each in member.discriminator.blocks.parameters())


def test_a_step_of_the_discriminator_is_that_of_plain_training(training):
    member = client_of(training, client=1)
    plain = Plain(training, own=training.config.method == "uagan")
    fakes = plain.fakes(1, 1)
    found = member.learn(Fakes(fakes[0].detach(), fakes[1]))
    expected = plain.train_discriminator(1, fakes, next(plain.real_batches(1, 1)))
    assert float(found) == pytest.approx(expected, abs=1e-12)
    for name, tensor in plain.discriminators[1].state_dict().items():
        torch.testing.assert_close(
            member.states()[f"discriminator.{name}"], tensor, rtol=0, atol=1e-10, msg=name
        )


def test_what_is_kept_is_all_that_a_client_needs_to_go_on(training):
    """It is made anew for the second round, or not: the same to the bit."""
    lasting, dying = training, server_training(training.config.output / "dying", training.config.method)
    for _ in range(3):
        dying.new_host()
        lasting.train()
        dying.train()
    assert_same_to_the_bit(dying.method.state().tensors, lasting.method.state().tensors)


def test_moments_stay_on_the_client(training):
    opened, hosted = training.begin()
    sent = [opened.orders.of(client).tensors for client in training.clients]
    sent += [upload.tensors for upload in hosted.uploads.values()]
    names = {name for parts in sent for tensors in parts.values() for name in tensors}
    assert not any("exp_avg" in name for name in names)
    member = training.host._clients[0]
    assert any("exp_avg" in name for name in member.private())


def test_a_client_that_has_lost_its_file_starts_anew(training):
    training.lost = True
    training.train()
    for path in training.folder.rglob("round-*.safetensors"):
        if path.parent.name == "client-1":
            path.unlink()
    training.new_host()
    closed = training.train()
    assert sorted(closed.collected.uploads) == [0, 1, 2]


def test_a_client_that_has_not_begun_a_round_says_so(training):
    member = training.make_client(0)
    with pytest.raises(RuntimeError, match="client 0 has not begun a round"):
        member.learn(Fakes(torch.zeros(2, 1, 28, 28).double(), torch.zeros(2, dtype=torch.int64)))
