"""The mode ``paper``, and settings far from the default, beside an independent computation in float64."""

import pytest
import torch

from huscf_flwr.methods.fedvtc import FedVTCSettings
from tests.methods.classifiers import small_classifiers
from tests.methods.fedvtc.plain import PlainServer
from tests.methods.fedvtc.test_rounds import images_with
from tests.run.builders import SMALL_DECODER, private_tensors

IMAGES = {0: images_with([0] * 6 + [1] * 5 + [3] * 2, 0), 1: images_with([1] * 6 + [2] * 7, 1)}
"""The clients have a class in common, and the first one has too few images of another to tell of it."""
SETTINGS = {
    "paper": {"mode": "paper", "fedvtc.tuning_images": 3, "fedvtc.tuning_epochs": 2},
    "by class": {
        "mode": "paper",
        "fedvtc.spread_of": "class",
        "fedvtc.spread_rule": "squared-counts",
        "fedvtc.alignment": 0.7,
        "fedvtc.alignment_rounds": 2,
        "fedvtc.gradient_norm": 0.4,
        "fedvtc.reconstruction": 0.02,
        "fedvtc.divergence": 0.3,
        "fedvtc.matching": 0.2,
        "fedvtc.matching_form": "image",
        "fedvtc.matching_classes": "held",
        "fedvtc.tuning": "every-round",
        "fedvtc.tuning_repeats": 2,
        "fedvtc.tuning_spread": 0.8,
        "fedvtc.tuning_images": 3,
        "fedvtc.tuning_epochs": 2,
    },
    "drawn alone": {
        "mode": "paper",
        "fedvtc.spread_rule": "within",
        "fedvtc.tuning": "every-round",
        "fedvtc.tuning_real": "none",
        "fedvtc.tuning_images": 3,
        "fedvtc.tuning_epochs": 1,
    },
}


@pytest.fixture(params=SETTINGS.values(), ids=SETTINGS)
def both(request, tmp_path):
    given = {"classifier.learning_rate": 0.1, "classifier.decoder": SMALL_DECODER}
    few = {"fedvtc.decoder_epochs": 2, "clients": 2, "rounds": 3, "name": "small"}
    training = small_classifiers(tmp_path, IMAGES, method="fedvtc", **given, **few, **request.param)
    clients = {k: training.make_client(k) for k in IMAGES}
    plain = PlainServer(
        training.config,
        training.config.settings(FedVTCSettings),
        IMAGES,
        {k: list(client.training.network.parameters()) for k, client in clients.items()},
        list(clients[0].decoder.parameters()),
    )
    return training, plain


def test_two_clients_compute_what_plain_pytorch_does(both):
    training, plain = both
    for number in (1, 2, 3):
        closed = training.train()
        plain.train_round()
        for k, client in enumerate(plain.clients):
            sent = closed.collected.uploads[k].tensors
            means = torch.stack([client.means[y] for y in client.counts])
            torch.testing.assert_close(sent["class_means"]["means"], means)
            deviations = client.deviation
            deviations = deviations if deviations.ndim == 1 else deviations[list(client.counts)]
            torch.testing.assert_close(sent["spread"]["deviations"], deviations)
        method = training.method
        assert method.statistics.known.nonzero().squeeze(1).tolist() == sorted(plain.means) == [0, 1, 2]
        for y, mean in plain.means.items():
            torch.testing.assert_close(method.statistics.means[y], mean)
            found = (
                method.statistics.deviations
                if method.statistics.deviations.ndim == 1
                else method.statistics.deviations[y]
            )
            torch.testing.assert_close(found, plain.deviation_of(y))
        if number > 1:
            for found, expected in zip(method.decoder.values(), plain.decoder.parameters(), strict=True):
                torch.testing.assert_close(found, expected.detach())


def test_and_tune_their_classifiers_alike_in_the_end(both):
    training, plain = both
    for _ in range(3):
        training.train()
        plain.train_round()
    training.train()
    kept = private_tensors(training.config.folder)
    for client in plain.clients:
        client.tune(4)
        weights = f"client-{client.number}-round-0004/weights."
        found = training.make_client(client.number).training.network
        for name, expected in zip(
            (name for name, _ in found.named_parameters()), client.network.parameters(), strict=True
        ):
            torch.testing.assert_close(kept[f"{weights}{name}"], expected.detach())
