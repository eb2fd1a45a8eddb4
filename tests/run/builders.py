"""A run so small that it takes seconds: two domains of a few images, networks of a few channels."""

from itertools import cycle

import torch

from huscf_flwr.config import load_config
from huscf_flwr.data import LabelledImages, write_idx_folder
from huscf_flwr.models import legal_cuts
from huscf_flwr.session import HostedClient, LocalChannel, run_steps
from huscf_flwr.split import SplitClient
from huscf_flwr.methods.huscf.coordinator import Coordinator
from huscf_flwr.methods.huscf.parts import method_of, model_spec_of
from huscf_flwr.methods.huscf.participant import dtype_of
from huscf_flwr.methods.huscf.taken_blocks import TakenBlocks, begin_round
from tests.split.builders import random_batch

DOMAINS = ("digits", "letters")
PER_CLASS = {"train": 6, "test": 2}


def striped_images(name, per_class, classes=10):
    """28x28 images: stripes as wide as the label, under noise; one domain lies, the other stands."""
    stream = torch.Generator().manual_seed(per_class)
    labels = torch.arange(classes).repeat(per_class)
    place = torch.arange(28)
    stripes = (place[None, :] // (1 + labels[:, None])) % 2
    images = stripes[:, :, None] if name == DOMAINS[0] else stripes[:, None, :]
    noise = torch.randint(56, (len(labels), 28, 28), generator=stream)
    return LabelledImages((200 * images + noise).to(torch.uint8).unsqueeze(1), labels)


def write_domains(root, classes=10):
    for name in DOMAINS:
        write_idx_folder(root / name, *(striped_images(name, count, classes) for count in PER_CLASS.values()))
    return root


def small_run(root, output, **settings):
    """A configuration that trains on ``write_domains(root)``; settings by dotted name."""
    defaults = {
        "name": "small",
        "output": output,
        "rounds": 2,
        "local_epochs": 1,
        "batch_size": 8,
        "clients": 4,
        "model.width": 0.05,
        "data.scenario": "two-domains-iid",
        "data.domains": ",".join(DOMAINS),
        "data.root": root,
        "data.cache": root / "cache",
        "evaluation.images": 40,
        "evaluation.synthetic_images": 40,
        "evaluation.sample_columns": 1,
        "compute.threads": 1,
    }
    return load_config("demo", [f"{key}={value}" for key, value in {**defaults, **settings}.items()])


SAMPLES = {0: 16, 1: 9, 2: 5}


def coordinator_of(config, *, samples=SAMPLES, cuts=None, method=None):
    """A coordinator of clients whose cuts are the lightest, the heaviest, and one in between."""
    spec = model_spec_of(config)
    legal = legal_cuts(spec)
    cuts = cuts or dict(zip(samples, cycle((legal[0], legal[-1], legal[5])), strict=False))
    return Coordinator(config, spec, samples=samples, cuts=cuts, method=method or method_of(config))


def split_clients(coordinator):
    """The clients with the cuts of the round to come, each with weights of its own."""
    config = coordinator.config
    return {
        client: SplitClient(
            client, coordinator.spec, cut, seed=config.seed, owner=client, dtype=dtype_of(config)
        )
        for client, cut in coordinator.cuts.items()
    }


def train_round(coordinator, absent=()):
    """Train one round on random images, all clients on one host; return what is known of it.

    The replies of ``absent`` clients do not come.
    """
    clients, trained = begin_training(coordinator)
    losses = {k: own for k, own in trained.losses.items() if k not in absent}
    blocks = {k: clients[k].segments.states() for k in losses}
    return coordinator.close_round(blocks, losses)


def begin_training(coordinator):
    """Train one round and leave it open; return the clients, and what became of them."""
    spec, clients = coordinator.spec, split_clients(coordinator)
    blocks, taken = coordinator.blocks_for(sorted(clients)), coordinator.taken_by(sorted(clients))
    for client, split in clients.items():
        own = blocks.get(coordinator.clusters[client])
        begin_round(split.segments, own, taken.get(client, TakenBlocks()))
    session = coordinator.open_round([sorted(clients)])
    members = [
        HostedClient(split, lambda k=k: random_batch(spec, 2 + k, 10 * coordinator.round + k, torch.float32))
        for k, split in clients.items()
    ]
    return clients, run_steps(members, LocalChannel(session), coordinator.steps)


class SilentDisplay:
    """Remembers what it was told."""

    def __init__(self):
        self.steps, self.rounds, self.notes, self.summaries = [], [], [], []

    def step(self, number, step, steps):
        self.steps.append((number, step, steps))

    def round(self, metrics, rounds):
        self.rounds.append(metrics)

    def note(self, text):
        self.notes.append(text)

    def end(self, summary):
        self.summaries.append(summary)
