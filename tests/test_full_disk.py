"""Whatever is written, on a full disk it is named, and what was there before stays.

What commands write by themselves is tried in tests/commands/test_every_fault.py.
"""

from types import SimpleNamespace

import pytest
import torch

from huscf_flwr.atomic_file import append_durably, copy_atomically, write_atomically
from huscf_flwr.commands.cut_plot import draw_latency
from huscf_flwr.conf_files import find_conf
from huscf_flwr.config import keep_named_files, load_config
from huscf_flwr.data import write_idx_folder
from huscf_flwr.deployment import make_node_key, make_server_credentials
from huscf_flwr.evaluation.figures import sample_grid
from huscf_flwr.flower.app import app_folder
from huscf_flwr.flower.launch import _submit_and_watch
from huscf_flwr.flower.superlink import _write_connection
from huscf_flwr.methods.contract import Kept
from huscf_flwr.run.client_files import copy_private, private_file
from huscf_flwr.run.display import NoDisplay
from huscf_flwr.tensor_files import write_json, write_tensors
from tests.data.formats.writing import some
from tests.full_disk import full_disk

KEPT = Kept(1, "ab" * 32)


def keep(root, key, kind):
    config = load_config("demo", [f"{key}={root / 'there'}"])
    return lambda: keep_named_files(config, root), f"conf/{kind}.yaml"


def private(root):
    source = private_file(root / "old", 3, KEPT)
    source.parent.mkdir(parents=True)
    source.write_bytes(b"what a client keeps")
    copied = private_file(root / "new", 3, KEPT).relative_to(root)
    return lambda: copy_private(root / "old", root / "new", 3, KEPT), str(copied)


def submitted(root):
    """The settings of a run that is handed to Flower."""
    superlink = SimpleNamespace(home=root)
    config = load_config("demo", [f"output={root}"])
    return lambda: _submit_and_watch(
        superlink, config, app_folder(), NoDisplay(), stop=None
    ), "run-config.toml"


WRITERS = {
    "bytes": lambda root: (lambda: write_atomically(root / "a", b"1"), "a"),
    "a line": lambda root: (lambda: append_durably(root / "a", "1"), "a"),
    "a copy": lambda root: (lambda: copy_atomically(root / "there", root / "a"), "a"),
    "JSON": lambda root: (lambda: write_json(root / "a", {}), "a"),
    "tensors": lambda root: (lambda: write_tensors(root / "a", {"a": torch.ones(3)}), "a"),
    "images": lambda root: (lambda: write_idx_folder(root / "a", some(9), some(3)), "a"),
    "a grid of samples": lambda root: (
        lambda: sample_grid(root / "a", torch.zeros(3, 1, 4, 4), 1, "abc"),
        "a",
    ),
    "a plot": lambda root: (lambda: draw_latency([1, 2], {"one": [1.0, 2.0]}, root / "a.png"), "a.png"),
    "a node's key": lambda root: (lambda: make_node_key(root / "a"), "a"),
    "certificates": lambda root: (lambda: make_server_credentials(root, ["localhost"]), "ca.crt"),
    "a model's file": lambda root: keep(root, "model.spec", "models"),
    "a file of devices": lambda root: keep(root, "cuts.devices", "devices"),
    "a scenario's file": lambda root: keep(root, "data.scenario", "scenarios"),
    "what a client keeps": private,
    "where the SuperLink is": lambda root: (lambda: _write_connection(root, "[::1]:9", None), "config.toml"),
    "settings for Flower": submitted,
}
"""What is written: by whom, and into which file."""


@pytest.mark.parametrize("what", WRITERS)
def test_what_cannot_be_written_is_named_and_nothing_is_left_of_it(what, tmp_path):
    (tmp_path / "there").write_bytes(find_conf("models", "authors-28").read_bytes())
    write, name = WRITERS[what](tmp_path)
    with full_disk(), pytest.raises(OSError, match="it cannot be written") as caught:
        write()
    assert caught.value.filename == str(tmp_path / name)
    assert what == "a line" or not (tmp_path / name).exists()
    assert [path.name for path in tmp_path.rglob("*") if path.name.startswith(".")] == []
