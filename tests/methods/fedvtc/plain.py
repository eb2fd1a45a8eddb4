"""FedVTC for two clients in plain PyTorch, from the description of the method and not from its code.

Only what is given is taken from the package: names of random streams, and numbers of the initial weights.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from huscf_flwr.seeding import torch_stream

FEATURES, CLASSES, LEAST = 6, 10, 5


def classifier(member):
    """The two architectures of the small family: one convolution, or two."""
    convolutions = (
        [nn.Conv2d(1, 2, 3, padding=1), nn.GroupNorm(2, 2), nn.ReLU(), nn.MaxPool2d(2)]
        if member == 0
        else [
            *(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 2, 3, padding=1), nn.GroupNorm(2, 2), nn.ReLU()),
        ]
    )
    extractor = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, FEATURES))
    return nn.ModuleList([extractor, nn.Linear(FEATURES, CLASSES)]).double()


def decoder():
    """Maps of 4, 4 and 2 channels, from 4x4 to 16x16 pixels, and an image of 32x32."""
    layers = [nn.ConvTranspose2d(FEATURES, 4, 4, bias=False)]
    for before, after in ((4, 4), (4, 2), (2, 1)):
        layers += [nn.GroupNorm(2, before), nn.LeakyReLU(0.2)]
        layers.append(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=after == 1))
    return nn.Sequential(*layers).double()


def take(network, weights):
    """Copy weights, in the order of the layers, into a network."""
    with torch.no_grad():
        for own, given in zip(network.parameters(), weights, strict=True):
            own.copy_(given)
    return network


def images_of(network, vectors):
    return torch.tanh(network(vectors[:, :, None, None]))[:, :, 2:30, 2:30]


class PlainClient:
    def __init__(self, number, images, weights, common):
        self.number, self.common = number, common
        self.labels, self.bytes = images.labels.tolist(), images.images
        self.pixels = images.images.double() / 127.5 - 1
        self.extractor, self.head = self.network = take(classifier(number), weights)
        self.sgd = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.5)
        self.counts = {y: n for y in range(CLASSES) if (n := self.labels.count(y)) >= LEAST}
        self.deviation = None

    def stream(self, purpose, number):
        return torch_stream(self.common.config.seed, purpose, self.number, number)

    def classify(self, pixels, labels, purpose, number, rate=0.1, alignment=0.0):
        self.sgd.param_groups[0]["lr"] = rate
        common, order = self.common, self.stream(f"{purpose} order", number)
        for chosen in torch.randperm(len(labels), generator=order).split(common.config.batch_size):
            z = self.extractor(pixels[chosen])
            batch = [labels[i] for i in chosen.tolist()]
            loss = functional.cross_entropy(self.head(z), torch.tensor(batch))
            apart = []
            for each, y in zip(z, batch, strict=True):
                if y in common.means:
                    inverse = 1 / common.deviation_of(y) ** 2
                    apart.append(inverse / inverse.mean() * (each - common.means[y]) ** 2)
            if alignment and apart:
                loss = loss + alignment * torch.stack(apart).mean()
            self.sgd.zero_grad()
            loss.backward()
            gradients = [p.grad for p in self.network.parameters()]
            norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
            torch._foreach_mul_(gradients, min(1.0, common.settings.gradient_norm / (norm + 1e-6)))
            self.sgd.step()

    def told(self):
        """Return pixels, labels and features of the images of classes that are told of."""
        rows = [i for i, y in enumerate(self.labels) if y in self.counts]
        return self.pixels[rows], [self.labels[i] for i in rows], self.extractor(self.pixels[rows]).detach()

    def describe(self):
        """Take class means down, and in the first round the spread that is learned from then on."""
        _, labels, z = self.told()
        rows = {y: [i for i, each in enumerate(labels) if each == y] for y in self.counts}
        self.means = {y: z[own].mean(0) for y, own in rows.items()}
        if self.deviation is not None:
            return
        squares = {y: (z[own] - self.means[y]) ** 2 for y, own in rows.items()}
        floor = self.common.settings.least_variance
        if self.common.settings.spread_of == "client":
            self.deviation = torch.cat(list(squares.values())).mean(0).clamp(min=floor).sqrt()
        else:
            self.deviation = torch.full((CLASSES, FEATURES), floor**0.5, dtype=torch.float64)
            for y, own in squares.items():
                self.deviation[y] = own.mean(0).clamp(min=floor).sqrt()

    def decode(self, number):
        """Return the decoder that this client has trained, and learn the spread with it."""
        common, settings = self.common, self.common.settings
        own = take(decoder(), common.decoder.parameters())
        logarithm = self.deviation.log().requires_grad_()
        groups = [{"params": list(own.parameters()), "lr": 1e-3}, {"params": [logarithm], "lr": 1e-2}]
        adam = torch.optim.Adam(groups, betas=(0.5, 0.999))
        order, noise = (self.stream(f"decoder {what}", number) for what in ("order", "noise"))
        pixels, labels, z = self.told()
        for _ in range(settings.decoder_epochs):
            for chosen in torch.randperm(len(labels), generator=order).split(common.config.batch_size):
                deviation = logarithm.exp()
                of_images = deviation if deviation.ndim == 1 else deviation[[labels[i] for i in chosen]]
                eps = torch.randn(len(chosen), FEATURES, generator=noise, dtype=torch.float64)
                drawn = images_of(own, z[chosen] + of_images * eps)
                loss = settings.reconstruction * ((drawn - pixels[chosen]) ** 2).sum() / len(chosen)
                loss = loss + settings.divergence * self.divergence(chosen.tolist(), labels, z, deviation)
                loss = loss + settings.matching * self.matching(own, noise)
                adam.zero_grad()
                loss.backward()
                adam.step()
        self.deviation = logarithm.detach().exp().clamp(min=settings.least_variance**0.5)
        return own

    def divergence(self, chosen, labels, z, deviation):
        """Return the mean over the images of known classes, by the closed form."""
        found = []
        for i in chosen:
            if labels[i] in self.common.means:
                own = deviation if deviation.ndim == 1 else deviation[labels[i]]
                common, apart = self.common.deviation_of(labels[i]), z[i] - self.common.means[labels[i]]
                terms = torch.log(common**2 / own**2) + (own**2 + apart**2) / common**2 - 1
                found.append(terms.sum() / 2)
        return torch.stack(found).mean()

    def matching(self, own, noise):
        common, settings = self.common, self.common.settings
        classes = sorted(common.means)
        if settings.matching_classes == "held":
            classes = [y for y in classes if y in self.counts]
        eps = torch.randn(len(classes) * 8, FEATURES, generator=noise, dtype=torch.float64)
        found = []
        for place, y in enumerate(classes):
            deviation, part = common.deviation_of(y), eps[8 * place : 8 * place + 8]
            z = self.extractor(images_of(own, common.means[y] + deviation * part))
            if settings.matching_form == "mean":
                found.append(((z.mean(0) - common.means[y]) ** 2).sum())
            else:
                found.append((((z - common.means[y]) / deviation) ** 2).sum(1).mean())
        return torch.stack(found).mean()

    def tune(self, number):
        """Train on drawn images, the same in all passes, and then on real ones."""
        common, settings = self.common, self.common.settings
        labels = sorted(common.means) * settings.tuning_images
        stream = self.stream("tuning images", number)
        eps = torch.randn(len(labels), FEATURES, generator=stream, dtype=torch.float64)
        deviations = torch.stack([common.deviation_of(y) for y in labels])
        vectors = torch.stack([common.means[y] for y in labels]) + settings.tuning_spread * deviations * eps
        drawn = images_of(common.decoder, vectors).detach().float()
        drawn = ((drawn + 1) * 127.5).round().clamp(0, 255).double() / 127.5 - 1
        repeats, rate = settings.tuning_repeats, settings.tuning_learning_rate
        real = self.pixels.repeat(repeats, 1, 1, 1), self.labels * repeats
        for epoch in range(settings.tuning_epochs):
            self.classify(drawn, labels, f"tuning {epoch}.0", number, rate)
            if settings.tuning_real == "after":
                self.classify(*real, f"tuning {epoch}.1", number, rate)


class PlainServer:
    def __init__(self, config, settings, images, weights, decoder_weights):
        self.config, self.settings = config, settings
        self.decoder = take(decoder(), decoder_weights)
        self.clients = [PlainClient(k, images[k], weights[k], self) for k in sorted(images)]
        self.means, self.deviation, self.number, self.can_draw = {}, None, 0, False

    def deviation_of(self, y):
        return self.deviation if self.deviation.ndim == 1 else self.deviation[y]

    def train_round(self):
        self.number += 1
        settings, decoders = self.settings, []
        weight = settings.alignment * min(1.0, (self.number - 1) / settings.alignment_rounds)
        for client in self.clients:
            if settings.tuning == "every-round" and self.can_draw:
                client.tune(self.number)
            client.classify(client.pixels, client.labels, "classifier", self.number, alignment=weight)
            client.describe()
            if self.means:
                decoders.append(client.decode(self.number))
        if decoders:
            shares = [len(client.labels) for client in self.clients]
            parts = zip(*(each.parameters() for each in decoders), strict=True)
            averages = [
                sum(n * p.detach() for n, p in zip(shares, part, strict=True)) / sum(shares) for part in parts
            ]
            take(self.decoder, averages)
            self.can_draw = True
        self.average()

    def average(self):
        for y in range(CLASSES):
            holders = [client for client in self.clients if y in client.counts]
            if holders:
                weighted = sum(client.counts[y] * client.means[y] for client in holders)
                self.means[y] = weighted / sum(client.counts[y] for client in holders)
        floor = self.settings.least_variance
        if self.settings.spread_of == "client":
            everything = [(client, list(client.counts)) for client in self.clients]
            self.deviation = self.variance(everything).clamp(min=floor).sqrt()
            return
        self.deviation = torch.zeros(CLASSES, FEATURES, dtype=torch.float64)
        for y in self.means:
            holders = [(client, [y]) for client in self.clients if y in client.counts]
            self.deviation[y] = self.variance(holders).clamp(min=floor).sqrt()

    def variance(self, holders):
        """Return the variance of what these clients tell of some of their classes each."""
        power = 2 if self.settings.spread_rule == "squared-counts" else 1
        found, weights, drift, images = 0, 0, 0, 0
        for client, classes in holders:
            count = sum(client.counts[y] for y in classes)
            own = client.deviation if client.deviation.ndim == 1 else client.deviation[classes[0]]
            found, weights = found + count**power * own**2, weights + count**power
            drift += sum(client.counts[y] * (client.means[y] - self.means[y]) ** 2 for y in classes)
            images += count
        return found / weights + (drift / images if self.settings.spread_rule == "total" else 0)
