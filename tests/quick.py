"""What of a test over many parameters is in `make quick`, and for which methods a test need not be run."""

import pytest

OF_EACH_KIND = ("huscf", "fedproto", "mdgan")
"""Of all methods: networks cut in two, classifiers, a generator on the server."""


OF_EACH_WAY = ("huscf", "fedgan", "fedproto", "fedvtc", "local", "central", "mdgan")
"""Methods that use a run in different ways: networks cut in two, networks averaged, class means averaged,
products beside models that stay on clients, nothing sent, clients that stand for several, another lock-step.

What is about the run, and not about the method, is tested with these.
"""


def with_each(names, counts):
    """Pairs of all ``names`` with the last of ``counts``, and of those of each way with the others too."""
    *others, last = counts
    return [(name, last) for name in names] + [
        (n, count) for count in others for n in names if n in OF_EACH_WAY
    ]


def mostly_slow(parameters, *quick):
    """All ``parameters`` of a test; those that are not ``quick`` are left to `make test`."""
    parameters = list(parameters)
    if missing := [each for each in quick if each not in parameters]:
        raise ValueError(f"{missing} are not among {parameters}: name one of these for `make quick`")
    return [
        each if each in quick else pytest.param(*_tupled(each), marks=pytest.mark.slow) for each in parameters
    ]


def _tupled(parameter):
    return parameter if isinstance(parameter, tuple) else (parameter,)
