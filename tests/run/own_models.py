"""Small runs of methods whose models stay on clients, and what their evaluations say."""

from huscf_flwr.run.local import train_locally
from tests.run.builders import METHODS, SilentDisplay, evaluations, small_run

KEEPING = ("fedproto", "local", "local-classifier")
"""Methods whose models stay on clients: one of each kind."""
CLASSIFYING = ("fedproto", "local-classifier")


def config_of(images, place, method="fedproto", name="small", **settings):
    given = {"model.width": 0.03, "rounds": 3, "evaluation.synthetic_images": 0, **METHODS[method]}
    return small_run(images, place, name=name, **{**given, **settings})


def train(config, hosts=1, display=None, **parts):
    train_locally(config, hosts=hosts, display=display or SilentDisplay(), **parts)
    return config.folder


def rounds_of(folder):
    return [line["round"] for line in evaluations(folder)]


def clients_of(line):
    return [client["id"] for client in line["clients"]]
