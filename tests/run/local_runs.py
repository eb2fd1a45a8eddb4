"""Runs on the local engine, apart from the builders: devices import those, without what reports need."""

from huscf_flwr.run.local import train_locally
from tests.run.builders import METHODS, UNJUDGED, SilentDisplay, small_run, training_of


def train(config, **arguments):
    """The summary of a run on the local engine, and the display that was told of it."""
    display = SilentDisplay()
    return train_locally(config, display=display, **arguments), display


def trained_folder(place, name, images, hosts=1, **settings):
    """The folder of three rounds of tiny networks, which nobody judges."""
    given = {"model.width": 0.03, "batch_size": 16, "rounds": 3, **UNJUDGED, **settings}
    config = small_run(images, place, name=name, **given)
    train(config, hosts=hosts, judged=False)
    return config.folder


def training_with(method, place, **more):
    """Three clients of a method with tiny networks, to be trained round by round."""
    given = {"model.width": 0.03, "rounds": 5, **METHODS[method], **more}
    return training_of(small_run(place, place, clients=3, **given))
