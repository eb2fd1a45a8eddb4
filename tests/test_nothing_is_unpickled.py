"""What was pickled can run code when it is read: nothing here reads or writes such a thing."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [
    path
    for part in ("huscf_flwr", "strategies", "client_apps", "server_app")
    for path in (ROOT / part).rglob("*.py")
]
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "multiprocessing",
}
CALLS = {
    "torch.load",
    "torch.save",
    "eval",
    "exec",
    "compile",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
}


def found_in(source):
    """Imports and calls that unpickle, run text, or hand objects to another process that will."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Call):
            if ast.unparse(node.func) in CALLS:
                found.append(ast.unparse(node.func))
            found += [
                k.arg for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"
            ]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled(path):
    assert found_in(path.read_text("utf-8")) == []


def test_that_would_be_noticed():
    bad = """
import pickle, os
from multiprocessing.connection import Client
torch.load("x")
numpy.load("x", allow_pickle=True)
numpy.load("x", allow_pickle=False)
eval("1")
"""
    assert sorted(found_in(bad)) == [
        "allow_pickle",
        "eval",
        "multiprocessing.connection",
        "pickle",
        "torch.load",
    ]
