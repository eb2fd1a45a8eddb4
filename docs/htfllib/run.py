"""Run a method of HtFLlib on the clients, images and networks of the comparison `htfllib`.

    python docs/htfllib/run.py HTFLLIB IMAGES METHOD SEED

HTFLLIB is a clone of TsingZ0/HtFLlib at e959261, IMAGES what `data.root` is, METHOD one of Local, FedProto,
FedTGP and FedGen. It prints accuracies after the last round as a line of JSON. HtFLlib needs h5py besides
what is installed here. Images keep one order throughout, since HtFLlib shuffles none; here they are shuffled
once, lest a batch is of one class.
"""

import importlib
import json
import os
import random
import sys
import tempfile
from argparse import Namespace
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor, nn

from huscf_flwr.comparison.plan import plan_comparison
from huscf_flwr.data import LabelledImages, normalise
from huscf_flwr.methods import method_of
from huscf_flwr.models import model_spec_of
from huscf_flwr.models.classifier_spec import classifier_family_of
from huscf_flwr.models.classifiers import ClassifierNetwork
from huscf_flwr.run.check import population_for

HTFLLIB, IMAGES, METHOD, SEED = sys.argv[1:]
sys.path.insert(0, f"{HTFLLIB}/system")

PLAN = plan_comparison("htfllib", overrides=[f"data.root={IMAGES}"])
(RUN,) = (run for run in PLAN.runs if run.column == "local" and run.seed == int(SEED))
SPEC = model_spec_of(RUN.config)
FAMILY = classifier_family_of(RUN.config, SPEC)
POPULATION = population_for(RUN.config, method_of(RUN.config))
DATA = [POPULATION.data_of(client) for client in range(RUN.config.clients)]


class FamilyMember(nn.Module):
    """One of our networks, in parts that HtFLlib calls so."""

    def __init__(self, member: int) -> None:
        super().__init__()
        network = ClassifierNetwork(FAMILY, member, SPEC.image, SPEC.classes)
        self.extractor, self.fc = network.extractor, network.head

    def forward(self, images: Tensor) -> Tensor:
        """Return what the last layer makes of the features; HtFLlib takes that layer away."""
        return self.fc(self.extractor(images))


def write_images(folder: Path) -> None:
    """Write each client's images where HtFLlib reads them: its own, and as test images those held out."""
    stream = np.random.default_rng(int(SEED))
    for client, data in enumerate(DATA):
        order = stream.permutation(len(data.train))
        for kind, part in (("train", data.train.subset(order)), ("test", data.held_out)):
            path = folder / "dataset" / "images" / kind / f"{client}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, data={"x": normalise(part.images).numpy(), "y": part.labels.numpy()})


def settings() -> Namespace:
    """Return the settings of HtFLlib's `total.sh`, with the rounds of the comparison."""
    config = RUN.config
    return Namespace(
        algorithm=METHOD, dataset="images", device="cpu", goal="beside", num_classes=SPEC.classes,
        num_clients=config.clients, models=[f"FamilyMember({k})" for k in range(len(FAMILY.members))],
        feature_dim=FAMILY.features, batch_size=config.batch_size, local_epochs=config.local_epochs,
        local_learning_rate=config.classifier.learning_rate, global_rounds=config.rounds - 1,
        save_folder_name="kept", models_folder_name="", eval_gap=config.rounds, auto_break=False, top_cnt=100,
        join_ratio=1.0, random_join_ratio=False, few_shot=0, time_select=False, time_threthold=1e4,
        client_drop_rate=0.0, train_slow_rate=0.0, send_slow_rate=0.0, lamda=10.0, server_epochs=100,
        margin_threthold=100.0, noise_dim=32, generator_learning_rate=0.1, hidden_dim=512,
    )  # fmt: skip


def accuracies(model: nn.Module, means: dict[int, Tensor], images: LabelledImages) -> dict[str, float]:
    """Return the share of images whose label the head finds, and, if there are some, the nearest mean."""
    features = model.base(normalise(images.images))
    found = {"accuracy": model.head(features).argmax(dim=1)}
    if means:
        classes = torch.tensor(sorted(means))
        distances = torch.cdist(features, torch.stack([means[int(k)] for k in classes]))
        found["prototype_accuracy"] = classes[distances.argmin(dim=1)]
    return {name: float((labels == images.labels).double().mean()) for name, labels in found.items()}


def main() -> None:
    """Train, and print the mean over the clients on test images and on those that they held out."""
    torch.load = partial(torch.load, weights_only=False)
    importlib.import_module("flcore.trainmodel.models").FamilyMember = FamilyMember
    kept = importlib.import_module("flcore.clients.clientbase").load_item
    servers = importlib.import_module(f"flcore.servers.server{METHOD.removeprefix('Fed').lower()}")
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(int(SEED))
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder))
        (Path(folder) / "system").mkdir()
        os.chdir(Path(folder) / "system")
        with redirect_stdout(sys.stderr):
            server = getattr(servers, METHOD)(settings(), 0)
            server.train()
            means = kept("Server", "global_protos", server.save_folder_name) or {}
            models = [kept(each.role, "model", each.save_folder_name).eval() for each in server.clients]
        os.chdir("/")
    known = {label: each for label, each in means.items() if isinstance(each, Tensor)}
    clients = list(zip(models, DATA, strict=True))
    with torch.no_grad():
        of_clients = {
            on: [accuracies(model, known, getattr(data, on)) for model, data in clients]
            for on in ("test", "held_out")
        }
    scores = {on: {name: mean(each[name] for each in of) for name in of[0]} for on, of in of_clients.items()}
    print(json.dumps({"method": METHOD, "seed": int(SEED), **scores}))  # noqa: T201 - this is what it is for


if __name__ == "__main__":
    main()
