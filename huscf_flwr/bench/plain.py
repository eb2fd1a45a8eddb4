"""The opponent: the same step in the plainest PyTorch, frozen in its first commit.

One module per client and part, float32, NCHW, PyTorch's own layers and optimisers with their defaults, one
autograd graph from end to end in one process. It follows the structure of the authors' step
(HuSCFGAN.py:9-60, models.py:11-285): the server's blocks run on the concatenation of the clients that leave
them to it, losses are summed over clients, and the generator's pass leaves gradients in the discriminator
that the next step wipes out. It stands alone on purpose: nothing that makes our own step faster, and nothing
that would make this one slower, may reach it. Its hash is part of every comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

PlainCut = tuple[int, int, int, int]
"""Generator head, generator tail, discriminator head, discriminator tail: 1 where the client keeps the
movable block, as the authors count."""

PlainBatch = tuple[Tensor, Tensor, Tensor]
"""Images [B, 1, 28, 28], labels [B], latents [B, 100]."""


class GeneratorInput(nn.Module):
    """Block 1 of the generator."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 10)
        self.main = nn.Linear(110, 12544)
        self.norm = nn.BatchNorm1d(12544)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Map [B, 100] and [B] to [B, 256, 7, 7]."""
        joined = torch.cat((latents, self.embedding(labels)), dim=1)
        outputs: Tensor = self.activation(self.norm(self.main(joined)))
        return outputs.view(-1, 256, 7, 7)


class DiscriminatorInput(nn.Module):
    """Block 1 of the discriminator."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 784)
        self.main = nn.Conv2d(2, 64, 4, 2, 1)
        self.norm = nn.BatchNorm2d(64)
        self.activation = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Map [B, 1, 28, 28] and [B] to [B, 64, 14, 14]."""
        plane = self.embedding(labels).view(-1, 1, 28, 28)
        outputs: Tensor = self.activation(self.norm(self.main(torch.cat((images, plane), dim=1))))
        return outputs


def _up(channels_in: int, channels_out: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, kernel, stride, 1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _down(channels_in: int, channels_out: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, 1),
        nn.BatchNorm2d(channels_out),
        nn.LeakyReLU(0.2, inplace=True),
    )


def generator_blocks() -> list[nn.Module]:
    """Return the five blocks of the generator."""
    last = nn.Sequential(nn.ConvTranspose2d(64, 1, 3, 1, 1), nn.Tanh())
    return [GeneratorInput(), _up(256, 128, 4, 2), _up(128, 128, 3, 1), _up(128, 64, 4, 2), last]


def discriminator_blocks() -> list[nn.Module]:
    """Return the five blocks of the discriminator."""
    last = nn.Sequential(nn.Flatten(), nn.Linear(2304, 1), nn.Sigmoid())
    return [DiscriminatorInput(), _down(64, 128, 4, 2), _down(128, 128, 3, 1), _down(128, 256, 4, 2), last]


class PlainClient(nn.Module):
    """A client's own heads and tails, and an optimiser for each network."""

    def __init__(self, cut: PlainCut) -> None:
        super().__init__()
        self.cut = cut
        generator, discriminator = generator_blocks(), discriminator_blocks()
        self.generator_head = nn.ModuleList(generator[: 1 + cut[0]])
        self.generator_tail = nn.ModuleList(generator[4 - cut[1] :])
        self.discriminator_head = nn.ModuleList(discriminator[: 1 + cut[2]])
        self.discriminator_tail = nn.ModuleList(discriminator[4 - cut[3] :])

    def optimisers(self) -> tuple[torch.optim.Adam, torch.optim.Adam]:
        """Return the optimisers of the generator's and of the discriminator's parts."""
        return (
            _adam(self.generator_head, self.generator_tail),
            _adam(self.discriminator_head, self.discriminator_tail),
        )


class PlainGAN:
    """All clients and the server in one process."""

    def __init__(self, cuts: Sequence[PlainCut]) -> None:
        self.clients = [PlainClient(cut) for cut in cuts]
        self.generator_body = nn.ModuleList(generator_blocks()[1:4])
        self.discriminator_body = nn.ModuleList(discriminator_blocks()[1:4])
        self.make_optimisers()

    def make_optimisers(self) -> None:
        """Begin with new optimisers, one for each part of each client and of the server."""
        pairs = [client.optimisers() for client in self.clients]
        self.generator_optimisers = [_adam(self.generator_body), *(pair[0] for pair in pairs)]
        self.discriminator_optimisers = [_adam(self.discriminator_body), *(pair[1] for pair in pairs)]

    def step(self, batches: Sequence[PlainBatch]) -> tuple[float, float]:
        """Train once on one batch of each client; return the mean losses of both networks."""
        criterion = nn.BCELoss()
        labels = [batch[1] for batch in batches]
        fakes = self.generate([batch[2] for batch in batches], labels)

        for optimiser in self.discriminator_optimisers:
            optimiser.zero_grad()
        judged = self.discriminate([fake.detach() for fake in fakes], labels)
        fake_loss = sum(criterion(output, torch.zeros_like(output)) for output in judged)
        fake_loss.backward()
        judged = self.discriminate([batch[0] for batch in batches], labels)
        real_loss = sum(criterion(output, torch.ones_like(output)) for output in judged)
        real_loss.backward()
        for optimiser in self.discriminator_optimisers:
            optimiser.step()

        for optimiser in self.generator_optimisers:
            optimiser.zero_grad()
        judged = self.discriminate(fakes, labels)
        generator_loss = sum(criterion(output, torch.ones_like(output)) for output in judged)
        generator_loss.backward()
        for optimiser in self.generator_optimisers:
            optimiser.step()
        count = len(self.clients)
        return (fake_loss.item() + real_loss.item()) / count, generator_loss.item() / count

    def generate(self, latents: Sequence[Tensor], labels: Sequence[Tensor]) -> list[Tensor]:
        """Return each client's fakes [B, 1, 28, 28]."""
        heads = [
            _run(client.generator_head, latent, label)
            for client, latent, label in zip(self.clients, latents, labels, strict=True)
        ]
        tails = self._body(self.generator_body, heads, part=0)
        return [_run(client.generator_tail, tail) for client, tail in zip(self.clients, tails, strict=True)]

    def discriminate(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> list[Tensor]:
        """Return, for each client, how real its images look, [B, 1]."""
        heads = [
            _run(client.discriminator_head, image, label)
            for client, image, label in zip(self.clients, images, labels, strict=True)
        ]
        tails = self._body(self.discriminator_body, heads, part=2)
        return [
            _run(client.discriminator_tail, tail) for client, tail in zip(self.clients, tails, strict=True)
        ]

    def _body(self, body: nn.ModuleList, heads: list[Tensor], part: int) -> list[Tensor]:
        """Run the server's blocks; ``part`` is the position of the network's head in a cut."""
        everybody = range(len(self.clients))
        first = _concatenated(body[0], heads, [k for k in everybody if self.clients[k].cut[part] == 0])
        middle = _concatenated(body[1], first, list(everybody))
        return _concatenated(body[2], middle, [k for k in everybody if self.clients[k].cut[part + 1] == 0])


def _concatenated(block: nn.Module, inputs: list[Tensor], members: list[int]) -> list[Tensor]:
    """Run ``block`` on the members' inputs together; the others pass by."""
    outputs = list(inputs)
    if members:
        sizes = [len(inputs[member]) for member in members]
        together = block(torch.cat([inputs[member] for member in members]))
        for member, output in zip(members, together.split(sizes), strict=True):
            outputs[member] = output
    return outputs


def _run(blocks: nn.ModuleList, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
    for block in blocks:
        conditional = isinstance(block, GeneratorInput | DiscriminatorInput)
        inputs = block(inputs, labels) if conditional else block(inputs)
    return inputs


def _adam(*parts: nn.Module) -> torch.optim.Adam:
    parameters = [parameter for part in parts for parameter in part.parameters()]
    return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))
