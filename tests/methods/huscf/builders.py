"""HuSCF-GAN's rounds on three clients with different cuts."""

from huscf_flwr.federation import Clustering
from huscf_flwr.models import flatten_blocks
from tests.run.builders import SAMPLES, small_run, training_of


def huscf_training(place, *, samples=SAMPLES, cuts=None, parts=None, **settings):
    """``parts`` are objects that take the place of the configured ones."""
    config = small_run(place, place, clients=len(samples), **{"model.width": 0.03, **settings})
    return training_of(config, samples=samples, cuts=cuts, **(parts or {}))


class ScriptedClusters:
    """A clusterer that finds what it is told to, round by round.

    Stand-ins of known clusters, which come after the clients, are put to the first client's group.
    """

    def __init__(self, *rounds):
        self.rounds = iter(rounds)

    def __call__(self, features, *, seed):
        labels = next(self.rounds)
        return Clustering((*labels, *[labels[0]] * (len(features) - len(labels))), 0.5)


class Spy:
    """Stands in the place of a method's averaging, and remembers what it was given and gave."""

    def __init__(self, method):
        self.averaging = method.averaging
        self.given, self.results = [], []
        method.averaging = self

    def __getattr__(self, name):
        return getattr(self.averaging, name)

    def after_round(self, number, **arguments):
        return self._noted(self.averaging.after_round, number, arguments)

    def after_round_apart(self, number, **arguments):
        return self._noted(self.averaging.after_round_apart, number, arguments)

    def _noted(self, after_round, number, arguments):
        self.given.append(arguments)
        self.results.append(after_round(number, **arguments))
        return self.results[-1]


def segments_of(order):
    """The blocks that a client is sent, by key: names of tensors are ``<network>.<block>.<entry>``."""
    names = order.tensors.get("segments", {})
    return {(network, int(index)) for network, index, _ in (name.split(".", 2) for name in names)}


def everything_of(body):
    """All tensors of a body and of its optimisers."""
    return flatten_blocks(body.states()) | body.moments()
