"""A run so small that it takes seconds: two domains of a few images, networks of a few channels.

``small_run`` is a whole run's configuration. ``Training`` trains single rounds of a method without a ``Run``:
through ``Rounds``, one ``Host`` and, for a lock-step method, a ``LocalChannel``.
"""

import time
from itertools import cycle
from pathlib import Path

import torch
from safetensors.torch import load_file

from huscf_flwr import methods
from huscf_flwr.config import load_config
from huscf_flwr.cuts import Device
from huscf_flwr.data import LabelledImages, PooledImages, write_idx_folder
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.methods import resolved
from huscf_flwr.methods.contract import Description
from huscf_flwr.models import legal_cuts, model_spec_of
from huscf_flwr.run.checkpoint import checkpoint_folder, client_folder
from huscf_flwr.run.host import Host
from huscf_flwr.run.rounds import Rounds
from huscf_flwr.session import HostTimer, LocalChannel, LockStep

DOMAINS = ("digits", "letters")
PER_CLASS = {"train": 6, "test": 2}
SAMPLES = {0: 16, 1: 9, 2: 5}
DEVICE = Device(name="any", gflops=1.0, mbit_per_s=10.0)
SMALL_FAMILY = Path(__file__).resolve().parents[1] / "methods" / "small-family.yaml"
SMALL_DECODER = SMALL_FAMILY.with_name("small-decoder.yaml")
_SMALL_FEDVTC = {
    "classifier.family": SMALL_FAMILY,
    "classifier.decoder": SMALL_DECODER,
    "fedvtc.decoder_epochs": 1,
    "fedvtc.distillation_steps": 2,
    "fedvtc.least_count": 1,
    "fedvtc.tuning": "never",
}
METHODS = {
    "huscf": {"method": "huscf"},
    "huscf-from-labels": {"method": "huscf", "huscf.weights_from": "labels"},
    "huscf-local-discriminator": {
        "method": "huscf",
        "privacy.local_discriminator": True,
        "privacy.min_observed": 1,
        "fake_labels": "uniform",
    },
    "huscf-private": {
        "method": "huscf",
        "privacy.local_discriminator": True,
        "privacy.epsilon": 5.0,
        "privacy.noise": "seeded",
        "fake_labels": "uniform",
        "huscf.clusters": 1,
        "huscf.weighting": "samples",
    },
    "huscf-embedding": {
        "method": "huscf",
        "privacy.local_discriminator": True,
        "privacy.epsilon": 5.0,
        "privacy.critic": "embedding",
        "privacy.features": 40,
        "privacy.noise": "seeded",
        "fake_labels": "uniform",
        "huscf.clusters": 1,
        "huscf.weighting": "samples",
    },
    "fedgan": {"method": "fedgan"},
    "fedproto": {"method": "fedproto", "classifier.family": SMALL_FAMILY},
    "fedvtc": {"method": "fedvtc", **_SMALL_FEDVTC},
    "fedvtc-own-decoders": {"method": "fedvtc", "fedvtc.share_decoder": False, **_SMALL_FEDVTC},
    "fedtgp": {"method": "fedtgp", "fedtgp.server_epochs": 2, "classifier.family": SMALL_FAMILY},
    "fedgen": {"method": "fedgen", "fedgen.server_steps": 2, "classifier.family": SMALL_FAMILY},
    "gefl": {"method": "gefl", "classifier.family": SMALL_FAMILY},
    "gefl-dcgan": {"method": "gefl", "gefl.generator": "dcgan", "classifier.family": SMALL_FAMILY},
    "ccvr": {"method": "ccvr", "ccvr.virtual": 4, "classifier.family": SMALL_FAMILY},
    "fedtype": {"method": "fedtype", "classifier.family": SMALL_FAMILY},
    "local": {"method": "local"},
    "local-classifier": {"method": "local", "local.task": "classifier", "classifier.family": SMALL_FAMILY},
    "central": {"method": "central", "central.batch_size": 16},
    "mdgan": {"method": "mdgan"},
    "uagan": {"method": "uagan"},
    "fsgan": {"method": "fsgan"},
    "pflgan": {"method": "pflgan", "pflgan.images": 50},
    "hflgan": {"method": "hflgan"},
}
"""Settings with which each of our methods runs in tests; one with variants is there with each of them."""
SILENT_AT_FIRST = {"fedproto", "fedvtc", "fedtgp", "fedgen", "ccvr"}
"""Methods whose server has nothing to say before it has heard of clients."""
LAST_ROUND_DIFFERS = {"ccvr"}
"""Methods whose last round is of another kind: a longer run does not begin as a shorter one does."""
NEEDS_TWO_ROUNDS = {"gefl"}
"""Methods with one round at least for each of two phases, of which all rounds have half by default."""
KEEP_ALL = {"checkpoint.keep_last": 9}
"""A run that can go back to any of its rounds."""
UNJUDGED = {"evaluation.every": 0, "evaluation.synthetic_images": 0}
"""Settings of a run that scores as little as a run can."""


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


def least_rounds(settings):
    """How many rounds a run with these settings must have."""
    return 2 if settings["method"] in NEEDS_TWO_ROUNDS else 1


def method_class(name):
    """The class that ``METHODS[name]`` trains with."""
    return methods.method_of(load_config("demo", [f"{key}={value}" for key, value in METHODS[name].items()]))


def descriptions(samples=SAMPLES, device=DEVICE):
    """What clients with these sample counts say of themselves."""
    return {client: Description(samples=count, device=device) for client, count in samples.items()}


def images_of_client(client, count):
    """Images of one client's own, at random; half of the clients hold either domain."""
    domain = striped_images(DOMAINS[client % 2], max(2, count))
    stream = torch.Generator().manual_seed(client)
    return domain.subset(torch.randperm(len(domain), generator=stream)[:count])


def images_to_train_on(method, client, count):
    """As many images as one client of a method has; where it stands for several, half are the first's."""
    images = images_of_client(client, count)
    if not method.pools_domains:
        return images
    return PooledImages(images.images, images.labels, (count - count // 2, count // 2))


class GivenCuts:
    """A cut solver that gives every client the cut that it is told, in the order of client ids."""

    name = "given"

    def __init__(self, cuts):
        self.cuts = cuts

    def solve(self, problem, *, seed):
        cuts = [cut for _, cut in sorted(self.cuts.items())]
        return problem.solution(cuts, solver=self.name, started=time.perf_counter())


def mixed_cuts(config, clients=SAMPLES):
    """For each client the lightest cut, the heaviest, or one in between, in turn."""
    legal = legal_cuts(model_spec_of(config), local_discriminator=config.privacy.local_discriminator)
    return dict(zip(clients, cycle((legal[0], legal[-1], legal[len(legal) // 3])), strict=False))


def method_of(config, *, samples=SAMPLES, cuts=None, **parts):
    """The server's half of the configured method, to which its clients have described themselves.

    HuSCF's have ``cuts``, or ``mixed_cuts``; ``parts`` take the place of its configured objects.
    """
    config = resolved(config)
    if config.method == "huscf":
        parts = {"cut_solver": GivenCuts(cuts or mixed_cuts(config, samples)), **parts}
    method = methods.method_of(config)
    clients = {
        client: method.client(client, images_to_train_on(method, client, count), DEVICE, config)
        for client, count in samples.items()
    }
    return method(config, {client: member.describe() for client, member in clients.items()}, **parts)


class Training:
    """The rounds of a method whose clients are all on one host; what they keep lies in the run's folder."""

    def __init__(self, method, may_have_lost_files=False):
        self.method, self.config = method, method.config
        self.rounds = Rounds(method.config, method)
        self.folder = client_folder(method.config.folder)
        self.lost = may_have_lost_files
        self.new_host()

    @property
    def clients(self):
        """The ids of all clients."""
        return sorted(self.method.clients)

    def new_host(self):
        """Start the host's process anew: clients are made again, with what they have kept."""
        self.host = Host(
            self.config, type(self.method), self.make_client, self.folder, may_have_lost_files=self.lost
        )

    def make_client(self, client):
        description, method = self.method.clients[client], type(self.method)
        images = images_to_train_on(method, client, description.samples)
        return method.client(client, images, description.device, self.config)

    def begin(self, clients=None, **arguments):
        """Train a round, of some ``clients`` or of all, and leave it open.

        Returns it, and what became of the clients.
        """
        opened = self.rounds.open([clients or self.clients], **arguments)
        locked = isinstance(opened.session, LockStep)
        channel = LocalChannel(opened.session) if locked else None
        hosted = self.host.train(opened.assignment(0), channel, HostTimer())
        if not locked:
            for client, drop_out in hosted.drop_outs.items():
                opened.session.drop(client, drop_out.reason)
            for client in hosted.uploads:
                opened.session.done(client)
        return opened, hosted

    def train(self, absent=(), clients=None):
        """Train and close a round; return what is known of it. The uploads of ``absent`` do not come."""
        _, hosted = self.begin(clients)
        uploads = {client: upload for client, upload in hosted.uploads.items() if client not in absent}
        for client, upload in uploads.items():
            self.rounds.read_upload(client, upload)
        return self.rounds.close(self.rounds.usable(uploads))


def training_of(config, **arguments):
    """The rounds of ``method_of(config, **arguments)``."""
    return Training(method_of(config, **arguments))


def server_tensors(folder):
    """The tensors of the last checkpoint that a run has kept."""
    *_, path = sorted(checkpoint_folder(folder).glob("server-*.safetensors"))
    return load_file(path)


def kept_files(place):
    """What clients have kept in a folder: files by client and round, such as ``client-0-round-0001``;
    on a device below the hash of its images."""
    paths = sorted(place.rglob("client-*/round-*.safetensors"))
    return {f"{path.parent.name}-{path.stem.rpartition('-')[0]}": path for path in paths}


def private_tensors(folder):
    """What all clients of a run have kept for themselves, by client and round, and by name."""
    return {
        f"{kept}/{name}": tensor
        for kept, path in kept_files(client_folder(folder)).items()
        for name, tensor in load_file(path).items()
    }


def last_private_tensors(folder):
    """Those of the last file of each client: a run that goes on in another folder takes no others over."""
    last = {kept.rpartition("-round-")[0]: kept for kept in kept_files(client_folder(folder))}
    return {
        name: tensor
        for name, tensor in private_tensors(folder).items()
        if name.rpartition("/")[0] in last.values()
    }


def all_tensors(folder):
    """The tensors of the last checkpoint, of which some methods have none, and what clients have kept."""
    return {**server_tensors(folder), **private_tensors(folder)}


def evaluations(folder):
    """The lines of ``evaluations.jsonl``: what clients found of models of their own."""
    return list(read_run(folder).evaluations)


def assert_close(found, expected):
    """Compare tensors by name: numbers that were added up in another order may differ in the last digits."""
    assert found.keys() == expected.keys()
    assert expected
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-9, msg=name)


def assert_same_to_the_bit(found, expected):
    """Compare tensors by name; there must be some."""
    assert found.keys() == expected.keys()
    assert expected
    different = [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)]
    assert different == []


def assert_same_state(found, expected):
    """Compare states of methods to the bit; one that remembers nothing has no tensors."""
    assert found.facts == expected.facts
    if expected.tensors or found.tensors:
        assert_same_to_the_bit(found.tensors, expected.tensors)


def assert_same_run(found, expected):
    """Compare the checkpoints of two runs, and what their clients have kept, to the bit."""
    found, expected = (
        {**server_tensors(folder), **last_private_tensors(folder)} for folder in (found, expected)
    )
    assert_same_to_the_bit(found, expected)


def repeatable(lines):
    """Lines of ``metrics.jsonl`` without what the clock and the number of hosts say."""
    clock = {"seconds", "hosts", "step_seconds", "round_seconds", "server_step_seconds"}
    return [
        {
            **{key: value for key, value in line.items() if key not in clock},
            "clients": [
                {key: value for key, value in client.items() if key not in clock}
                for client in line["clients"]
            ],
        }
        for line in lines
    ]


class SilentDisplay:
    """Remembers what it was told."""

    def __init__(self):
        self.steps, self.rounds, self.evaluations, self.notes, self.summaries = [], [], [], [], []

    def step(self, number, step, steps):
        self.steps.append((number, step, steps))

    def round(self, metrics, rounds):
        self.rounds.append(metrics)

    def evaluation(self, line):
        self.evaluations.append(line)

    def note(self, text):
        self.notes.append(text)

    def end(self, summary):
        self.summaries.append(summary)
