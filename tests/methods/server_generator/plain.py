"""Generator and discriminators in plain PyTorch: one graph, no frames, losses on probabilities.

Draws are from the streams that the product names; everything that is computed with them is written anew here.
"""

import torch
from torch.nn import functional

from huscf_flwr.models import build_network, model_spec_of
from huscf_flwr.models.network import build_blocks
from huscf_flwr.seeding import torch_stream
from tests.run.builders import images_of_client, small_run, training_of

SAMPLES = {0: 16, 1: 12, 2: 6}
"""Batches of 8 and 8 images, of 8 and 4, and of 6 and 6."""
RATE = 1e-3


def server_training(place, method, *, samples=SAMPLES, **settings):
    """Rounds of one of the methods in float64; both local epochs are rounds, unless the method joins them."""
    given = {"model.width": 0.03, "compute.precision": "float64", "optimiser.learning_rate": RATE}
    config = small_run(place, place, method=method, clients=len(samples), **{**given, **settings})
    return training_of(config, samples=samples)


def trained_of(network):
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def cross_entropy(logits, target):
    return functional.binary_cross_entropy(logits.sigmoid(), torch.full_like(logits, target))


class Plain:
    """The networks of a training and their optimisers; ``own`` discriminators begin apart from each other."""

    def __init__(self, training, *, own):
        self.config, self.spec = training.config, model_spec_of(training.config)
        self.images = {k: images_of_client(k, each.samples) for k, each in training.method.clients.items()}
        self.generator = build_network(self.spec, "generator", seed=self.config.seed, dtype=torch.float64)
        self.discriminators = {
            client: build_blocks(
                self.spec,
                "discriminator",
                range(len(self.spec.discriminator.blocks)),
                seed=self.config.seed,
                owner=client if own else "common",
                dtype=torch.float64,
            )
            for client in self.images
        }
        self.adam = {
            "generator": self.optimiser(self.generator),
            **{client: self.optimiser(each) for client, each in self.discriminators.items()},
        }

    def optimiser(self, network):
        return torch.optim.Adam(trained_of(network), lr=RATE, betas=(0.5, 0.999), fused=True)

    def fakes(self, number, step, batch=1, classes=range(10)):
        stream = torch_stream(self.config.seed, "fakes", number, step, batch)
        size = self.config.batch_size
        labels = torch.tensor(list(classes))[torch.randint(len(classes), (size,), generator=stream)]
        latents = torch.randn(size, self.spec.latent, generator=stream, dtype=torch.float64)
        return self.generator(latents, labels), labels

    def real_batches(self, client, number):
        images = self.images[client]
        stream = torch_stream(self.config.seed, "order", client, number)
        while True:
            order = torch.randperm(len(images), generator=stream)
            for chosen in order.split(self.config.batch_size):
                yield images.images[chosen].double() / 127.5 - 1, images.labels[chosen]

    def train_discriminator(self, client, fakes, real):
        (images, labels), network = fakes, self.discriminators[client]
        loss = cross_entropy(network(images.detach(), labels), 0.0) + cross_entropy(network(*real), 1.0)
        self.take_step(client, loss)
        return loss.item()

    def take_step(self, owner, loss):
        for adam in self.adam.values():
            adam.zero_grad()
        loss.backward()
        self.adam[owner].step()


def assert_equal_networks(found, expected):
    """Compare tensors by name, given with the network's name before it, with those of ``expected``."""
    for name, tensor in expected.state_dict().items():
        own = found[f"{expected.network}.{name}"]
        torch.testing.assert_close(own, tensor, rtol=0, atol=1e-10, msg=name)


def weights_of(generator):
    """The generator's weights among what ``ServerGenerator.tensors`` returns."""
    return {
        name.removeprefix("weights/"): tensor
        for name, tensor in generator.tensors().items()
        if name.startswith("weights/")
    }


def run_step(executor, members, number=1, gone=None):
    """One step without a session; return what each client was sent, by number of the exchange.

    ``gone`` has, by client, the number of the first exchange in which it has no part.
    """
    served = executor.step(number)
    next(served)
    steps = {client: member.step() for client, member in members.items()}
    frames, answers = {client: next(step).frame for client, step in steps.items()}, {}
    for exchange in executor.exchanges:
        present = {k: frame for k, frame in frames.items() if exchange.number < (gone or {}).get(k, 9)}
        answers[exchange.number] = served.send(present)
        assert answers[exchange.number].keys() == present.keys()
        frames = {}
        for client, answer in answers[exchange.number].items():
            try:
                frames[client] = steps[client].send(answer).frame
            except StopIteration:
                assert exchange is executor.exchanges[-1]
    return answers


def begun(training, number=1, clients=None):
    """The executor of a round and its clients, which have begun."""
    clients = clients or training.clients
    orders = training.method.orders(number, clients)
    members = {client: training.make_client(client) for client in clients}
    for client, member in members.items():
        member.begin(number, orders.of(client))
    return training.method.executor(number, clients), members
