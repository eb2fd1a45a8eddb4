"""A run of FedVTC that is small, and learns: what is drawn is what was asked for, and tuning on it helps."""

import pytest
import torch

from huscf_flwr.data import together
from huscf_flwr.methods.classifier_training import ClassifierTraining
from huscf_flwr.methods.fedvtc.drawing import drawn_images
from tests.methods.classifiers import small_classifiers
from tests.run.builders import private_tensors, striped_images

HELD = {0: (0, 1, 2), 1: (2, 3), 2: (3, 4, 0), 3: (1, 4)}
"""Five classes, of which no client has more than three."""


def images_of(classes, per_class):
    images = striped_images("digits", per_class, classes=5)
    rows = [i for i, label in enumerate(images.labels.tolist()) if label in classes]
    return images.subset(torch.tensor(rows))


def accuracy(logits_of, images):
    return float((logits_of(images.images).argmax(1) == images.labels).double().mean())


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.slow
def test_images_are_of_their_labels_and_classifiers_learn_from_them(tmp_path):
    family = "features: 16\ngroups: 2\nmap_size: 4\nmembers: [[{channels: 8, halve: true}]]\n"
    images = {client: images_of(classes, 16) for client, classes in HELD.items()}
    training = small_classifiers(
        tmp_path,
        images,
        **{
            "method": "fedvtc",
            "name": "small",
            "rounds": 5,
            "clients": 4,
            "local_epochs": 3,
            "classifier.family": write(tmp_path / "family.yaml", family),
            "classifier.decoder": write(tmp_path / "decoder.yaml", "channels: [16, 8]\ngroups: 2\n"),
            "classifier.momentum": 0.9,
            "fedvtc.decoder_learning_rate": 0.01,
            "fedvtc.tuning_epochs": 4,
            "fedvtc.tuning_images": 20,
        },
    )
    for _ in range(6):
        training.train()

    reference = ClassifierTraining(99, training.config)
    everything = together(list(images.values()))
    for _ in reference.train(everything, epochs=5, number=1):
        pass
    test = images_of(range(5), 9)
    assert accuracy(reference.logits_of, test) > 0.95
    (product,) = training.method.products()
    statistics = training.method.statistics
    sample = training.method.sampler(training.config, product.tensors)
    drawn = drawn_images(sample, statistics, 20, torch.Generator().manual_seed(0))
    assert accuracy(reference.logits_of, drawn) > 0.6

    before, after = [], []
    for client in training.clients:
        member = training.make_client(client)
        kept = private_tensors(training.config.folder)
        place = f"client-{client}-round-0006/"
        member.load_private({n.removeprefix(place): t for n, t in kept.items() if n.startswith(place)})
        found = {name: accuracy(classify, test) for name, classify in member.classifiers().items()}
        before.append(found["untuned"])
        after.append(found[""])
    assert sum(after) / 4 > sum(before) / 4 + 0.2, (before, after)
