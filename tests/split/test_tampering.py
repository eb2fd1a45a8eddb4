"""What a client finds odd of blocks and gradients, and what it does not."""

import pytest
import torch

from huscf_flwr.models import Cut
from huscf_flwr.session import Computed, LocalChannel, run_step
from huscf_flwr.split import HostedClient, SplitClient, TamperingDetector
from huscf_flwr.split.tampering import (
    MOST_MOVED,
    ODD_STEPS,
    RECENT_STEPS,
    REFUSED,
    BlockCheck,
    GradientCheck,
    discriminator_oddity,
)
from tests.models.specs import small_specs
from tests.split.builders import DOUBLE, build, open_session, random_batch

KEY = ("discriminator", 0)


def block(value):
    """A block of four equal weights, and statistics that are nobody's average."""
    return {KEY: {"main.weight": torch.full((4,), value), "norm.running_mean": torch.randn(4) * 100}}


def after_a_round(check=None):
    """A check of a client whose weights went from 0 to 1 in round 3."""
    check = check or BlockCheck()
    assert check.begin(3, block(0.0)) is None
    check.end(3, block(1.0))
    return check


def test_blocks_may_be_as_far_away_as_some_rounds_of_the_clients_own_training():
    assert after_a_round().begin(4, block(1 + MOST_MOVED - 0.01)) is None
    found = after_a_round().begin(4, block(1 + MOST_MOVED + 0.01))
    assert found.startswith("block 0 of the discriminator is 6.02 away from what it uploaded in round 3")


def test_a_client_that_was_away_allows_for_every_round():
    assert after_a_round().begin(6, block(1 + 3 * MOST_MOVED - 0.01)) is None
    assert after_a_round().begin(6, block(1 + 3 * MOST_MOVED + 0.01)) is not None


def test_rounds_that_a_client_refused_allow_for_nothing():
    """Else a server would only have to send the same blocks until the bound has grown."""
    again = BlockCheck()
    again.load({**after_a_round().tensors(), REFUSED: torch.tensor([2, 4, 5, 6, 7])})
    assert again.begin(7, block(1 + MOST_MOVED - 0.01)) is None
    assert again.begin(7, block(1 + MOST_MOVED + 0.01)) is not None
    assert again.begin(9, block(1 + 2 * MOST_MOVED - 0.01)) is None


def test_weights_that_are_no_numbers_are_odd():
    assert after_a_round().begin(4, block(float("nan"))) is not None


def test_blocks_that_a_client_never_had_are_not_compared():
    other = {("generator", 4): block(1e6)[KEY]}
    assert BlockCheck().begin(5, other) is None
    assert after_a_round().begin(4, {**block(1.0), **other}) is None


def test_what_is_remembered_outlives_the_process():
    again = BlockCheck()
    again.load({**after_a_round().tensors(), "generator.0.main.weight.step": torch.ones(())})
    assert again.begin(4, block(1 + MOST_MOVED - 0.01)) is None
    assert again.begin(4, block(1 + MOST_MOVED + 0.01)) is not None
    assert BlockCheck().tensors() == {}


def gradients(seed=0):
    """Of fakes, of real images, and of the same fakes judged again, which point elsewhere."""
    stream = torch.Generator().manual_seed(seed)
    fakes, reals = torch.randn(2, 6, 50, generator=stream)
    return fakes, reals, -2 * fakes


def test_any_rotation_and_any_scale_is_honest_and_a_gradient_of_another_aim_is_not():
    sent, turn = gradients(), torch.linalg.qr(torch.randn(50, 50)).Q
    honest = tuple(5 * each @ turn for each in sent)
    assert discriminator_oddity(sent, honest) is None
    elsewhere = gradients(1)[0] * 5
    assert "cosine" in discriminator_oddity(sent, (elsewhere, *honest[1:]))
    wide = discriminator_oddity(sent, (honest[0], 4 * honest[1], honest[2]))
    assert wide == "gradients of real images came back 4 times as wide as those of fakes"


def of_a_body(seed=0):
    """What a tail of one linear layer sends, all along its weights, and what a body makes of it.

    It turns the gradient of each image a little on its own.
    """
    stream = torch.Generator().manual_seed(seed)
    drawn = torch.nn.functional.normalize(torch.randn(4, 32, 500, generator=stream), dim=2)
    pushed, weights = drawn[0, :1], drawn[1, :1].expand(32, -1)
    fakes, reals = pushed + 0.75 * drawn[2], -pushed + 0.75 * drawn[3]
    return (weights, -weights, -2 * weights), (fakes, reals, -2 * fakes)


def steering(seed=0):
    """Gradients of another aim, as wide as one."""
    stream = torch.Generator().manual_seed(100 + seed)
    return torch.nn.functional.normalize(torch.randn(32, 500, generator=stream), dim=1)


def test_each_real_image_is_pulled_where_fakes_are_pushed_or_its_gradient_is_odd():
    """Whatever its width, and although their mean over the batch points where it should."""
    sent, (fakes, reals, again) = of_a_body()
    assert discriminator_oddity(sent, (fakes, reals, again)) is None
    scattered = reals.mean(0) + 2.5 * (steering() - steering().mean(0))
    for steered in (2.5 * steering(), scattered):
        found = discriminator_oddity(sent, (fakes, steered, again))
        assert found.startswith("the cosine of gradients of real images and of fakes came back changed by")


def found_in(steps, added):
    """What a check finds in so many steps in which something is added to gradients of real images."""
    check, found, rest = GradientCheck(), [], (torch.zeros(1),)
    for number in range(steps):
        sent, (fakes, reals, again) = of_a_body(number)
        frames = (rest, rest, sent[:2], rest, sent[2:], rest)
        answers = (rest, rest, (fakes, reals + added), rest, (again,), rest)
        found.append(through(check, frames, answers))
    return found


def through(check, frames, answers):
    """What a check says of a step in which these frames go up and those answers come down."""

    def step():
        for frame in frames:
            yield Computed(frame)

    looked_at = check.looked_at(step())
    next(looked_at)
    with pytest.raises(StopIteration) as ended:
        for answer in answers:
            looked_at.send(answer)
    return ended.value.value


def test_what_is_added_to_honest_gradients_shows_after_some_steps():
    assert not any(found_in(RECENT_STEPS + 5, added=0))
    *before, last = found_in(RECENT_STEPS, added=0.8 * steering()[0])
    assert not any(before)
    assert last.startswith("the cosine of mean gradients of real images and of fakes came back changed by 0.")
    assert last.endswith("the median of 25 steps")


def test_gradients_that_are_sent_as_zero_say_nothing_and_those_that_become_zero_are_odd():
    sent = gradients()
    assert discriminator_oddity(tuple(0 * each for each in sent), sent) is None
    for place, what in enumerate(("fakes", "real images", "fakes judged again")):
        received = tuple(0 * each if at == place else each for at, each in enumerate(sent))
        assert discriminator_oddity(sent, received) == f"gradients of {what} came back as zero"


@pytest.fixture
def session():
    """An executor and two clients, of which the first looks at what comes down."""
    spec = small_specs()["authors-28"]
    cuts = {0: Cut(1, 1, 1, 1), 1: Cut(1, 1, 2, 1)}
    executor, (_, other) = build(spec, cuts)
    detector = TamperingDetector()
    first = SplitClient(0, spec, cuts[0], seed=0, owner=0, dtype=DOUBLE, detector=detector)
    detector.begin(1, first.segments.states())
    channel = LocalChannel(open_session(executor, [[0, 1]], steps=ODD_STEPS + 2))
    batches = {client: random_batch(spec, 4, seed=client) for client in cuts}
    hosted = [HostedClient(each, lambda k=each.client: batches[k]) for each in (first, other)]
    return detector, hosted, channel


def test_honest_steps_raise_no_alarm(session):
    _, hosted, channel = session
    for _ in range(ODD_STEPS + 2):
        assert all(isinstance(each, dict) for each in run_step(hosted, channel).values())


@pytest.mark.parametrize("honest_step", [None, 5])
def test_a_client_leaves_after_some_odd_steps_and_the_others_go_on(session, monkeypatch, honest_step):
    """An honest step between odd ones makes it forget nothing."""
    _, hosted, channel = session
    answer, steps = channel.receive, ODD_STEPS + (honest_step is not None)
    number = 0

    def receive(exchange):
        """As the server had it, but that gradients of the first client's real images are of another aim."""
        client, frame = answer(exchange)
        if client == 0 and exchange.name == "DISCRIMINATOR_BACKWARD" and number != honest_step:
            frame = (frame[0], 100 * frame[1])
        return client, frame

    monkeypatch.setattr(channel, "receive", receive)
    for number in range(1, steps + 1):  # noqa: B007 - receive reads it
        assert isinstance(run_step(hosted, channel)[0], dict)
    outcome = run_step(hosted, channel)
    said = f"times as wide as those of fakes, and {ODD_STEPS} of the last {steps} steps were odd"
    assert said in outcome[0].reason
    # Whoever tells it says whose it is.
    assert "client 0" not in outcome[0].reason
    assert isinstance(outcome[1], dict)


@pytest.mark.parametrize("alone", [False, True])
def test_no_average_is_compared_with_weights_that_were_a_clients_own(alone):
    detector = TamperingDetector()
    detector.begin(1, block(0.0), alone=alone)
    detector.end(block(1.0))
    assert (detector.blocks.begin(2, block(50.0)) is None) is alone
