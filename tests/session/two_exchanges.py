"""A lock-step method of two exchanges, for tests of what every such method can rely on.

In the first nothing goes up and integers come down; in the second integers go up and nothing comes down. The
server draws labelled samples, and clients with images of their own say how the samples should change.
"""

import torch
from torch.nn import functional

from huscf_flwr.session import Computed, Exchange, Kind

CLASSES, WIDTH, NOISE, IMAGES = 3, 64, 2, 6

SAMPLES = Kind("samples", role="activation")
LABELS = Kind("labels", torch.int64)
GRADIENT = Kind("gradient of samples", role="gradient")
VOTES = Kind("votes", torch.int64, below=CLASSES)

DRAW = Exchange(1, "DRAW", up=(), down=(SAMPLES, LABELS))
JUDGE = Exchange(2, "JUDGE", up=(GRADIENT, VOTES), down=())


def stream(*numbers):
    """A generator for these numbers, the same in every process."""
    return torch.Generator().manual_seed(sum(1000**place * number for place, number in enumerate(numbers)))


class Painter:
    """The executor: draws samples for each client, and learns from their gradients."""

    exchanges = (DRAW, JUDGE)

    def __init__(self, sizes, *, seed=0, dtype=torch.float64):
        """Draw ``sizes[client]`` samples for each client in a step."""
        self.sizes, self.dtype = dict(sizes), dtype
        chance = stream(seed, 1000)
        self.colours = torch.randn(CLASSES, WIDTH, generator=chance, dtype=dtype).requires_grad_()
        self.brush = torch.randn(NOISE, WIDTH, generator=chance, dtype=dtype).requires_grad_()
        self.votes = torch.zeros(CLASSES, dtype=torch.int64)
        self.optimiser = torch.optim.Adam([self.colours, self.brush], lr=0.01)

    @property
    def clients(self):
        return self.sizes.keys()

    def shape(self, kind, client):
        return (WIDTH,) if kind in (SAMPLES, GRADIENT) else ()

    def draws(self, number, client):
        """The labels of a step, and the noise."""
        chance = stream(number, client)
        size = self.sizes[client]
        labels = torch.randint(CLASSES, (size,), generator=chance)
        return labels, torch.randn(size, NOISE, generator=chance, dtype=self.dtype)

    def step(self, number):
        frames = yield {}
        drawn, answers = {}, {}
        for client in sorted(frames):
            labels, noise = self.draws(number, client)
            drawn[client] = self.colours[labels] + noise @ self.brush
            answers[client] = drawn[client].detach(), labels
        frames = yield answers
        present = sorted(frames)
        torch.autograd.backward([drawn[k] for k in present], [frames[k][0] for k in present])
        for client in present:
            # An index beyond the classes would raise, for everybody.
            self.votes.index_add_(0, frames[client][1], torch.ones_like(frames[client][1]))
        self.optimiser.step()
        self.optimiser.zero_grad()
        yield dict.fromkeys(present, ())

    def tensors(self):
        return [self.colours.detach(), self.brush.detach(), self.votes]


class Critic:
    """A client: tells classes apart, and says how samples would look more like theirs."""

    device = torch.device("cpu")

    def __init__(self, client, *, seed=0, dtype=torch.float64):
        self.client = client
        chance = stream(seed, client)
        self.images = torch.randn(IMAGES, WIDTH, generator=chance, dtype=dtype)
        self.labels = torch.randint(CLASSES, (IMAGES,), generator=chance)
        self.weights = torch.randn(WIDTH, CLASSES, generator=chance, dtype=dtype).requires_grad_()
        self.optimiser = torch.optim.Adam([self.weights], lr=0.01)

    def step(self):
        samples, labels = yield Computed(())
        samples = samples.detach().requires_grad_()
        logits = samples @ self.weights
        fit = functional.cross_entropy(logits, labels)
        own = functional.cross_entropy(self.images @ self.weights, self.labels)
        torch.autograd.backward(fit + own)
        votes = logits.detach().argmax(1)
        yield Computed((samples.grad, votes), {"fit": fit.detach(), "own": own.detach()})
        self.optimiser.step()
        self.optimiser.zero_grad()


def build_painter(clients, *, dtype=torch.float64):
    """An executor and a client for each id; each has as many samples as its id, and two."""
    return (
        Painter({client: client + 2 for client in clients}, dtype=dtype),
        {client: Critic(client, dtype=dtype) for client in clients},
    )


def without_a_session(painter, critics, steps, gone=None):
    """The oracle: one graph for everybody, no frames; ``gone`` has, by client, step and exchange.

    The client has no part from that exchange of that step on.
    """
    last = gone or {}

    def present(number, exchange):
        return [k for k in sorted(critics) if (number, exchange) < last.get(k, (steps + 1, 0))]

    for number in range(1, steps + 1):
        losses = []
        for client in present(number, 2):
            critic = critics[client]
            labels, noise = painter.draws(number, client)
            logits = (painter.colours[labels] + noise @ painter.brush) @ critic.weights
            losses.append(functional.cross_entropy(logits, labels))
            losses.append(functional.cross_entropy(critic.images @ critic.weights, critic.labels))
            painter.votes += torch.bincount(logits.argmax(1), minlength=CLASSES)
        torch.autograd.backward(sum(losses))
        for owner in (painter, *(critics[k] for k in present(number, 2))):
            owner.optimiser.step()
            owner.optimiser.zero_grad()


def tensors_of(painter, critics):
    return [*painter.tensors(), *(critics[k].weights.detach() for k in sorted(critics))]
