"""What of a test over many parameters is in `make quick`."""

import pytest

OF_EACH_KIND = ("huscf", "fedproto", "mdgan")
"""Of all methods: networks cut in two, classifiers, a generator on the server."""


def mostly_slow(parameters, *quick):
    """All ``parameters`` of a test; those that are not ``quick`` are left to `make test`."""
    parameters = list(parameters)
    if missing := [each for each in quick if each not in parameters]:
        raise ValueError(f"{missing} are not among {parameters}: name one of these for `make quick`")
    return [each if each in quick else pytest.param(each, marks=pytest.mark.slow) for each in parameters]
