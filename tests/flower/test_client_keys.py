import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from huscf_flwr.deployment import make_node_key
from huscf_flwr.flower.client_keys import (
    ClientKeyError,
    bind,
    fingerprint,
    keys_file,
    keys_of_nodes,
    read_client_keys,
    write_client_keys,
)
from tests.flower.in_process_grid import InProcessGrid


def test_a_client_belongs_to_the_key_that_it_was_first_seen_with(tmp_path):
    keys = bind({}, {3: 21, 1: 22}, {21: "a", 22: "b", 23: "c"}, tmp_path)
    assert keys == {3: "a", 1: "b"}
    assert bind(keys, {3: 91, 5: 92}, {91: "a", 92: "d"}, tmp_path) == {3: "a", 1: "b", 5: "d"}


@pytest.mark.parametrize("owned", [{3: 22}, {3: 22, 1: 21}, {1: 21}])
def test_another_key_is_refused_with_both_named(owned, tmp_path):
    with pytest.raises(
        ClientKeyError, match=r"SuperNode 2\d \(key \w\).*client [13].*with key \w;.*the-file"
    ):
        bind({3: "a", 1: "b"}, owned, {21: "a", 22: "b"}, tmp_path / "the-file")


def test_bindings_are_kept_with_the_run(tmp_path):
    assert read_client_keys(tmp_path) == {}
    write_client_keys(tmp_path, {10: "b", 2: "a"})
    assert read_client_keys(tmp_path) == {2: "a", 10: "b"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"three": "a"}'])
def test_damaged_bindings_are_not_taken_for_none(tmp_path, content):
    keys_file(tmp_path).write_text(content)
    with pytest.raises(ClientKeyError, match=r"client-keys\.json is damaged"):
        read_client_keys(tmp_path)


def pem(public):
    return load_ssh_public_key(public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_a_fingerprint_is_the_one_that_ssh_keygen_shows(tmp_path):
    key = make_node_key(tmp_path / "node")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", key.public], capture_output=True, text=True, check=True
    ).stdout
    assert fingerprint(pem(key.public.read_bytes())) == shown.split()[1]


def test_fingerprints_differ_as_keys_do(tmp_path):
    keys = [make_node_key(tmp_path / str(number)).public.read_bytes() for number in (0, 0, 1)]
    found = [fingerprint(pem(key)) for key in keys]
    assert found[0] == found[1] != found[2]
    assert all(each.startswith("SHA256:") for each in found)


def test_the_grid_tells_every_nodes_key():
    grid = InProcessGrid({21: {}, 22: {}}, {})
    keys = keys_of_nodes(grid)
    assert set(keys) == {21, 22}
    assert keys[21] != keys[22]
    assert keys_of_nodes(InProcessGrid({21: {}}, {}))[21] == keys[21]
    grid.close()
