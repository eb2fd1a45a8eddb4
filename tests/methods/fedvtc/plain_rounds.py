"""Rounds of FedVTC in a few lines of plain PyTorch: the oracle, and the images of three clients."""

import torch
from torch.nn import functional

from huscf_flwr.data import LabelledImages
from huscf_flwr.models import model_spec_of
from huscf_flwr.models.classifiers import classifier_of
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

    def __init__(self, config):
        self.config = config
        self.networks = {k: classifier_of(config, k, dtype=torch.float64) for k in IMAGES}
        self.sgd = {
            k: torch.optim.SGD(n.parameters(), lr=0.1, momentum=0.5) for k, n in self.networks.items()
        }
        stream = torch_stream(config.seed, "decoder")
        image = model_spec_of(config).image
        self.decoder = build_decoder(
            load_decoder_spec(str(SMALL_DECODER)), FEATURES, image, stream, dtype=torch.float64
        )
        self.means, self.deviation = {}, None

    def train_round(self, number):
        decoders, told = {}, {}
        for k, network in self.networks.items():
            labels, pixels = IMAGES[k].labels, IMAGES[k].images.double() / 127.5 - 1
            self.classify(k, pixels, labels, f"classifier order|{number}")
            told_of = torch.tensor([LABELS[k].count(y) >= 5 for y in labels.tolist()])
            pixels, labels = pixels[told_of], labels[told_of]
            features = network.features(pixels).detach()
            own = {y: features[labels == y].mean(0) for y in set(labels.tolist())}
            apart = features - torch.stack([own[y] for y in labels.tolist()])
            told[k] = own, apart.square().mean(0)
            if self.means:
                decoders[k] = self.decode(k, number, pixels, labels, features, own)
        if decoders:
            total = sum(len(IMAGES[k]) for k in decoders)
            self.decoder.load_state_dict(
                {
                    name: sum(d.state_dict()[name] * len(IMAGES[k]) / total for k, d in decoders.items())
                    for name in self.decoder.state_dict()
                }
            )
        self.average(told)

    def classify(self, k, pixels, labels, stream):
        purpose, _, number = stream.partition("|")
        order = torch_stream(self.config.seed, purpose, k, int(number))
        for chosen in torch.randperm(len(labels), generator=order).split(self.config.batch_size):
            loss = functional.cross_entropy(self.networks[k](pixels[chosen]), labels[chosen])
            self.sgd[k].zero_grad()
            loss.backward()
            self.sgd[k].step()

    def decode(self, k, number, pixels, labels, features, own):
        spec, image = load_decoder_spec(str(SMALL_DECODER)), model_spec_of(self.config).image
        decoder = build_decoder(spec, FEATURES, image, torch.Generator(), dtype=torch.float64)
        decoder.load_state_dict(self.decoder.state_dict())
        adam = torch.optim.Adam(decoder.parameters(), lr=1e-3, betas=(0.5, 0.999))
        order = torch_stream(self.config.seed, "decoder order", k, number)
        centred = torch.stack(
            [z - own[y] + self.means.get(y, own[y]) for z, y in zip(features, labels.tolist(), strict=True)]
        )
        for _ in range(2):
            for chosen in torch.randperm(len(labels), generator=order).split(self.config.batch_size):
                loss = (decoder(centred[chosen]) - pixels[chosen]).square().sum() / len(chosen)
                adam.zero_grad()
                loss.backward()
                adam.step()
        return decoder

    def average(self, told):
        counts = {k: {y: LABELS[k].count(y) for y in set(LABELS[k]) if LABELS[k].count(y) >= 5} for k in told}
        for y in range(CLASSES):
            holders = [k for k in told if y in counts[k]]
            if holders:
                total = sum(counts[k][y] for k in holders)
                self.means[y] = sum(counts[k][y] * told[k][0][y] for k in holders) / total
        total = sum(sum(own.values()) for own in counts.values())
        variance = sum(sum(counts[k].values()) / total * told[k][1].clamp(min=1e-3) for k in told)
        self.deviation = variance.clamp(min=1e-3).sqrt()
