"""Counting how often a run does what costs time."""

import importlib
from collections import Counter


def count_calls(monkeypatch, functions):
    """Count the calls of functions where they are looked up; ``functions`` are names by dotted place."""
    calls = Counter()
    for place, name in functions.items():
        module_name, _, function_name = place.rpartition(".")
        module = importlib.import_module(module_name)
        monkeypatch.setattr(module, function_name, _counted(getattr(module, function_name), calls, name))
    return calls


def _counted(function, calls, name):
    def counted(*arguments, **named):
        calls[name] += 1
        return function(*arguments, **named)

    return counted
