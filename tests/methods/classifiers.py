"""Rounds of clients with given images."""

import torch

from huscf_flwr.data import LabelledImages
from huscf_flwr.methods import method_of, resolved
from tests.run.builders import DEVICE, SMALL_FAMILY, Training, small_run


def with_labels(*labels):
    """Images of these classes, at random."""
    stream = torch.Generator().manual_seed(len(labels))
    images = torch.randint(256, (len(labels), 1, 28, 28), generator=stream, dtype=torch.uint8)
    return LabelledImages(images, torch.tensor(labels))


def small_classifiers(folder, images, **settings):
    """Rounds in float64 of classifiers of the small family."""
    given = {"compute.precision": "float64", "classifier.family": SMALL_FAMILY}
    return GivenImages(small_run(folder, folder, **{**given, **settings}), images)


class GivenImages(Training):
    """The rounds of the configured method, whose clients, with ``images`` by id, describe themselves."""

    def __init__(self, config, images):
        self.images = images
        config = resolved(config)
        method = method_of(config)
        clients = {k: method.client(k, own, DEVICE, config) for k, own in images.items()}
        super().__init__(method(config, {k: client.describe() for k, client in clients.items()}))

    def make_client(self, client):
        return type(self.method).client(client, self.images[client], DEVICE, self.config)
