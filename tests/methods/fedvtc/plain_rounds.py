"""Rounds of FedVTC in a few lines of plain PyTorch: the oracle, and the images of three clients."""

import copy
import math

import torch
from torch.nn import functional

from huscf_flwr.data import LabelledImages
from huscf_flwr.models import model_spec_of
from huscf_flwr.models.classifiers import classifier_of
from huscf_flwr.models.critics import build_critic
from huscf_flwr.models.decoders import build_decoder, load_decoder_spec
from huscf_flwr.seeding import torch_stream
from tests.run.builders import SMALL_DECODER

FEATURES, CLASSES = 6, 10
LABELS = {0: [0] * 6 + [1] * 5, 1: [1] * 3 + [2] * 6, 2: [5] * 7}
"""Client 1 has too few images of class 1 to tell of it, client 2 has one class, and nobody has most."""


def images_with(labels, seed):
    stream = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (len(labels), 1, 28, 28), generator=stream, dtype=torch.uint8)
    return LabelledImages(images, torch.tensor(labels))


IMAGES = {client: images_with(labels, client) for client, labels in LABELS.items()}


class PlainRounds:
    """The method with its default settings: every client's network, everybody's decoder, and loops."""

    def __init__(self, config, images=None):
        self.config, self.images = config, images or IMAGES
        self.labels = {k: each.labels.tolist() for k, each in self.images.items()}
        self.networks = {k: classifier_of(config, k, dtype=torch.float64) for k in self.images}
        self.sgd = {
            k: torch.optim.SGD(n.parameters(), lr=0.1, momentum=0.5) for k, n in self.networks.items()
        }
        stream = torch_stream(config.seed, "decoder")
        image = model_spec_of(config).image
        self.decoder = build_decoder(
            load_decoder_spec(str(SMALL_DECODER)), FEATURES, image, stream, dtype=torch.float64
        )
        self.means, self.deviations = {}, {}
        self.senders = set()
        self.critics = {
            k: {
                name: weight.requires_grad_()
                for name, weight in build_critic(
                    image, CLASSES, torch_stream(config.seed, "critic", k), dtype=torch.float64
                )
                .state_dict()
                .items()
            }
            for k in self.images
        }

    def train_round(self, number, clients=None):
        decoders, told = {}, {}
        for k in self.networks if clients is None else clients:
            network = self.networks[k]
            labels, pixels = self.images[k].labels, self.images[k].images.double() / 127.5 - 1
            self.classify(k, pixels, labels, f"classifier order|{number}")
            told_of = torch.tensor([self.labels[k].count(y) >= 5 for y in labels.tolist()])
            pixels, labels = pixels[told_of], labels[told_of]
            features = network.features(pixels).detach()
            own = {y: features[labels == y].mean(0) for y in set(labels.tolist())}
            apart = self.whitened(features - torch.stack([own[y] for y in labels.tolist()]), labels)
            told[k] = own, {y: apart[labels == y].square().mean(0) for y in own}
            if self.means:
                decoders[k] = self.decode(k, number, pixels, labels, apart, own)
        before = dict(self.means), copy.deepcopy(self.decoder)
        if decoders:
            total = sum(len(self.images[k]) for k in decoders)
            self.decoder.load_state_dict(
                {
                    name: sum(d.state_dict()[name] * len(self.images[k]) / total for k, d in decoders.items())
                    for name in self.decoder.state_dict()
                }
            )
        self.average(told)
        if decoders:
            self.distil(number, decoders, {k: own for k, (own, _) in told.items()}, *before)
            self.senders |= set(decoders)

    def whitened(self, apart, labels):
        """Principal components, by the eigenvectors of the covariances, with a deviation of two."""
        found = torch.zeros_like(apart)
        for y in set(labels.tolist()):
            own = apart[labels == y]
            values, vectors = torch.linalg.eigh(own.T @ own / len(own))
            kept = max(1, len(own) // 4)
            for place in range(kept):
                vector = vectors[:, -1 - place]
                sign = vector[vector.abs().argmax()].sign()
                found[labels == y, place] = 2 * sign * (own @ vector) / values[-1 - place].sqrt()
        return found

    def verdicts(self, k, images, labels):
        """The client's critic, layer by layer."""
        weight = self.critics[k]
        maps = images
        for place in (0, 1, 2):
            layer = (0, 2, 5)[place]
            maps = functional.conv2d(
                maps, weight[f"layers.{layer}.weight"], weight[f"layers.{layer}.bias"], stride=2, padding=1
            )
            if place:
                norm = f"layers.{layer + 1}"
                maps = functional.group_norm(maps, 4, weight[f"{norm}.weight"], weight[f"{norm}.bias"])
            maps = functional.leaky_relu(maps, 0.2)
        flat = maps.flatten(1)
        of_all = flat @ weight["of_all.weight"][0] + weight["of_all.bias"]
        return of_all + (flat * weight["of_class.weight"][labels]).sum(1)

    def distil(self, number, decoders, own_means, old_means, old_decoder):
        """The average learns what each class's holders draw, at the same distance from the mean."""
        stream = torch_stream(self.config.seed, "distillation", number)
        adam = torch.optim.Adam(self.decoder.parameters(), betas=(0.5, 0.999))
        classes = [y for y in sorted(self.means) if self.parts(y, decoders)]
        steps = 3
        for step in range(steps):
            adam.param_groups[0]["lr"] = 2e-3 * (1 + math.cos(math.pi * step / steps)) / 2
            labels = [classes[i] for i in torch.randint(len(classes), (64,), generator=stream).tolist()]
            noise = torch.randn(64, FEATURES, generator=stream, dtype=torch.float64)
            loss = 0
            for y, eps in zip(labels, noise, strict=True):
                k = self.teacher(
                    self.parts(y, decoders),
                    float(eps[int((self.deviations[y] > 0.99 * self.deviations[y].max()).nonzero()[0])]),
                )
                offset = 1.25 * self.deviations[y] * eps
                mean = old_means[y] if y in old_means or k is None else own_means[k][y]
                with torch.no_grad():
                    target = (old_decoder if k is None else decoders[k])((mean + offset)[None])
                loss = loss + (self.decoder((self.means[y] + offset)[None]) - target).square().sum() / 64
            adam.zero_grad()
            loss.backward()
            adam.step()

    def parts(self, y, decoders):
        """Squares of images by client, and, by None, of those who sent a decoder before and not now."""
        squares = {k: n**2 for k, labels in self.labels.items() if (n := labels.count(y)) >= 5}
        absent = sum(square for k, square in squares.items() if k in self.senders - set(decoders))
        found = {k: square for k, square in squares.items() if k in decoders}
        return {**found, **({None: absent} if absent else {})}

    def teacher(self, parts, place):
        """Whose part of the line ``place`` is in."""
        reached = (1 + math.erf(place / math.sqrt(2))) / 2
        for k, square in parts.items():
            reached -= square / sum(parts.values())
            if reached < 0:
                return k
        return list(parts)[-1]

    def classify(self, k, pixels, labels, stream):
        purpose, _, number = stream.partition("|")
        order = torch_stream(self.config.seed, purpose, k, int(number))
        for chosen in torch.randperm(len(labels), generator=order).split(self.config.batch_size):
            loss = functional.cross_entropy(self.networks[k](pixels[chosen]), labels[chosen])
            self.sgd[k].zero_grad()
            loss.backward()
            self.sgd[k].step()

    def decode(self, k, number, pixels, labels, apart, own):
        spec, image = load_decoder_spec(str(SMALL_DECODER)), model_spec_of(self.config).image
        decoder = build_decoder(spec, FEATURES, image, torch.Generator(), dtype=torch.float64)
        decoder.load_state_dict(self.decoder.state_dict())
        adam = torch.optim.Adam(decoder.parameters(), lr=2e-3, betas=(0.5, 0.999))
        critic = torch.optim.Adam(self.critics[k].values(), lr=5e-4, betas=(0.5, 0.999))
        order, noise = (
            torch_stream(self.config.seed, f"decoder {what}", k, number) for what in ("order", "noise")
        )
        vectors = torch.stack(
            [z + self.means.get(y, own[y]) for z, y in zip(apart, labels.tolist(), strict=True)]
        )
        for _ in range(2):
            for chosen in torch.randperm(len(labels), generator=order).split(self.config.batch_size):
                loss = (decoder(vectors[chosen]) - pixels[chosen]).square().sum() / len(chosen)
                known = torch.tensor([i for i in chosen.tolist() if int(labels[i]) in self.means])
                eps = torch.randn(len(known), FEATURES, generator=noise, dtype=torch.float64)
                means = torch.stack([self.means[int(labels[i])] for i in known.tolist()])
                spread = torch.stack([self.deviations[int(labels[i])] for i in known.tolist()])
                drawn = decoder(means + spread * eps)
                real = (1 - self.verdicts(k, pixels[known], labels[known])).clamp(min=0).mean()
                false = (1 + self.verdicts(k, drawn.detach(), labels[known])).clamp(min=0).mean()
                critic.zero_grad()
                (real + false).backward()
                critic.step()
                loss = loss - 40 * self.verdicts(k, drawn, labels[known]).mean()
                adam.zero_grad()
                loss.backward()
                adam.step()
        return decoder

    def average(self, told):
        for y in range(CLASSES):
            holders = {k: self.labels[k].count(y) for k in told if self.labels[k].count(y) >= 5}
            if holders:
                total = sum(holders.values())
                self.means[y] = sum(n * told[k][0][y] for k, n in holders.items()) / total
                variance = sum(n / total * told[k][1][y].clamp(min=1e-3) for k, n in holders.items())
                self.deviations[y] = variance.clamp(min=1e-3).sqrt()
